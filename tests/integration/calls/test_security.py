"""Who does not know the passphrase gets nothing, learns nothing, and is told so."""

import itertools
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

from brubeckservice import service_connection
from brubeckservice.addresses import parse_address
from brubeckservice.base import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceMessageHandler,
    ServiceResponse,
    ServiceTimeout,
)
from brubeckservice.keys import Keys, derive_keys
from tests.integration.calls.instances import PASSPHRASE, Caller, Service, free_address
from tests.integration.calls.raw_peers import KEYS, RawCaller, own_keys
from tests.integration.calls.relay import Relay, unchanged
from tests.waiting import eventually

Serve = Callable[..., Service]
NewCaller = Callable[..., Caller]
NewRawCaller = Callable[..., RawCaller]
PutRelay = Callable[[str], Relay]

ANOTHER = "another passphrase, as long as the first one"


class Counts(ServiceMessageHandler):
    """Keeps what it is asked."""

    asked: list[Any]

    def request(self) -> ServiceResponse:
        self.asked.append(self.message.arguments)
        self.set_status(200, "the answer nobody else may read")
        self.add_to_payload("asked", self.message.arguments)
        return self.render()


@pytest.fixture
def asked() -> list[Any]:
    """What the service was asked."""
    return []


@pytest.fixture
def service(serve: Serve, asked: list[Any], addr: str) -> Service:
    """A service that keeps what it is asked."""
    return serve([("^/p$", type("Keeps", (Counts,), {"asked": asked}))], addr=addr)


@pytest.fixture
def tcp_service(serve: Serve, asked: list[Any]) -> Service:
    """The same, on tcp."""
    return serve([("^/p$", type("Keeps", (Counts,), {"asked": asked}))])


def secrets_of(passphrase: str) -> list[str]:
    """All texts that nobody may see."""
    keys = derive_keys(passphrase)
    return [passphrase, *(key.decode() for pair in keys for key in pair)]


def outcome_of(caller: Caller, addr: str, arguments: dict[str, Any]) -> int | ServiceError:
    """The status of a call's answer, or its error."""
    try:
        return caller.ask(addr, "/p", arguments)[0].status_code
    except ServiceError as error:
        return error


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.text + repr([record.__dict__ for record in caplog.records])


def test_a_caller_with_another_passphrase_is_told_so_at_once_and_so_is_the_operator(
    service: Service, new_caller: NewCaller, asked: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stranger = new_caller(passphrase=ANOTHER)

    with gevent.Timeout(5), pytest.raises(ServiceAuthError, match="another passphrase") as caught:
        stranger.ask(service.addr, "/p", timeout=60)
    with gevent.Timeout(1), pytest.raises(ServiceAuthError, match="another passphrase"):
        stranger.ask(service.addr, "/p", timeout=60)

    eventually(
        lambda: "a peer does not know the passphrase" in caplog.text,
        "the service's log tells the operator",
        seconds=5,
    )
    assert asked == []
    said = everything_logged(caplog) + str(caught.value) + repr(caught.value)
    for secret in secrets_of(PASSPHRASE) + secrets_of(ANOTHER):
        assert secret not in said


def test_who_knows_the_passphrase_is_served_beside_one_who_does_not(
    service: Service, new_caller: NewCaller
) -> None:
    stranger, friend = new_caller(passphrase=ANOTHER), new_caller()
    with pytest.raises(ServiceAuthError):
        stranger.ask(service.addr, "/p")

    assert friend.ask(service.addr, "/p")[0].status_code == 200


def test_a_stranger_who_learns_the_passphrase_is_served(
    service: Service, new_caller: NewCaller
) -> None:
    stranger = new_caller(passphrase=ANOTHER)
    with pytest.raises(ServiceAuthError):
        stranger.ask(service.addr, "/p")

    stranger.unregister_service(service.addr)
    stranger.register_service(service.addr, PASSPHRASE)

    request = stranger.create_service_request("/p")
    assert stranger.send_service_request(service.addr, request)[0].status_code == 200


def test_a_caller_with_several_passphrases_is_served_by_replicas_with_any_of_them(
    serve: Callable[..., Service], caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    services = [serve(passphrase=ANOTHER), serve(passphrase=PASSPHRASE)]
    addrs = [service.addr for service in services]

    caller.register_service(addrs, [PASSPHRASE, ANOTHER])

    with gevent.Timeout(5):
        caller.check_service(addrs)
    caller.wait_for_replicas(addrs, 2)
    assert "another passphrase?" not in caplog.text, "the caller had another one to try"


def test_a_service_that_changes_its_passphrase_is_served_again_by_who_knows_both(
    serve: Callable[..., Service], caller: Caller
) -> None:
    addr = free_address()
    caller.register_service(addr, [PASSPHRASE, ANOTHER])
    for passphrase in (ANOTHER, PASSPHRASE, ANOTHER):
        service = serve(addr=addr, passphrase=passphrase)
        caller.wait_for_replicas(addr, 1)
        assert caller.ask(addr)[0].status_code == 200
        service.stop()


def test_a_caller_none_of_whose_passphrases_is_right_is_told_so_at_once(
    service: Service, caller: Caller
) -> None:
    caller.register_service(service.addr, [ANOTHER, "yet another passphrase"])

    with gevent.Timeout(5), pytest.raises(ServiceAuthError, match="another passphrase"):
        caller.ask(service.addr, "/p", timeout=60)


FOREIGN_KEYS: dict[str, Callable[[], Keys | None]] = {
    "no security at all": lambda: None,
    "another passphrase": lambda: derive_keys(ANOTHER),
    "the service's public key and a key of one's own": lambda: Keys(KEYS.service, own_keys()),
    "the service's keys for both ends": lambda: Keys(KEYS.service, KEYS.service),
}


@pytest.mark.parametrize("kind", FOREIGN_KEYS)
def test_without_the_right_keys_nothing_is_heard_and_nothing_executed(
    service: Service,
    raw_caller: NewRawCaller,
    asked: list[Any],
    kind: str,
) -> None:
    stranger = raw_caller(service.addr, FOREIGN_KEYS[kind]())
    stranger.say(["hello", [1]], ["call", 1, 5000, "/p"])

    friend = raw_caller(service.addr)
    friend.greet()
    friend.say(["call", 1, 5000, "/p", "request", {}, {"who": "a friend"}])
    friend.hear("response")
    gevent.sleep(0.3)  # some time for what must not happen

    assert stranger.heard_so_far() == []
    assert asked == [{"who": "a friend"}]
    assert service.callers == 1


def test_a_peer_with_a_foreign_key_is_told_to_the_operator(
    service: Service, raw_caller: NewRawCaller, caplog: pytest.LogCaptureFixture
) -> None:
    raw_caller(service.addr, Keys(KEYS.service, own_keys()))

    eventually(
        lambda: "a peer with a foreign key was refused" in caplog.text, "a log line", seconds=5
    )


def test_without_a_zap_handler_nobody_gets_in(
    serve: Serve, raw_caller: NewRawCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        def __init__(self, *_: object) -> None:
            pass

        def watch(self, _: object) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(service_connection, "ZapHandler", Absent)
    service = serve()

    peer = raw_caller(service.addr)
    peer.say(["hello", [1]])
    gevent.sleep(0.5)  # some time for what must not happen

    assert peer.heard_so_far() == []
    assert service.callers == 0


def test_a_service_of_another_passphrase_does_not_get_the_call(
    raw_service: Callable[..., Any], caller: Caller
) -> None:
    impostor = raw_service(keys=derive_keys(ANOTHER))

    with gevent.Timeout(5), pytest.raises(ServiceAuthError):
        caller.ask(impostor.addr, "/p", timeout=60)

    assert impostor.calls == []


def test_a_service_without_security_does_not_get_the_call(
    raw_service: Callable[..., Any], caller: Caller
) -> None:
    impostor = raw_service(keys=None)

    with gevent.Timeout(10), pytest.raises(ServiceError):
        caller.ask(impostor.addr, "/p", timeout=60)

    assert impostor.calls == []


def test_nothing_that_passes_by_is_readable(
    serve: Serve, asked: list[Any], relay: PutRelay, caller: Caller
) -> None:
    service = serve([("^/path-of-theirs$", type("Keeps", (Counts,), {"asked": asked}))])
    between = relay(service.addr)

    caller.ask(between.addr, "/path-of-theirs", {"text": "what nobody else may read"})

    passed_by = bytes(between.said_by_caller + between.said_by_service)
    assert b"CURVE" in passed_by  # the relay did see the conversation
    # None shorter than five bytes: what is encrypted holds any two sooner or later.
    texts = [b"nobody", b"/path-of-theirs", b"request", b"hello"]
    for text in texts + [secret.encode() for secret in secrets_of(PASSPHRASE)]:
        assert text not in passed_by


def replay(addr: str, said: list[bytes]) -> None:
    """Say what somebody else has said, on a connection of one's own, until the service ends it."""
    _, host, port = parse_address(addr)
    with socket.create_connection((host, port), timeout=5) as connection:
        try:
            for part in said:
                connection.sendall(part)
                gevent.sleep(0.05)  # as then, the service has its turn before the next
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass  # it has ended it already


def test_what_was_recorded_is_of_no_use_to_anybody(
    tcp_service: Service, serve: Serve, relay: PutRelay, caller: Caller, asked: list[Any]
) -> None:
    recorded: list[bytes] = []

    def record(data: bytes) -> bytes:
        recorded.append(data)
        return data

    between = relay(tcp_service.addr)
    between.meddle = record
    caller.ask(between.addr, "/p", {"text": "once"})
    routes = [("^/p$", type("Keeps", (Counts,), {"asked": asked}))]
    replica = serve(routes)  # knows the same passphrase

    replay(tcp_service.addr, recorded)
    replay(replica.addr, recorded)
    tcp_service.stop()
    serve(routes, addr=tcp_service.addr)  # it was restarted
    replay(tcp_service.addr, recorded)

    assert asked == [{"text": "once"}]
    assert caller.ask(tcp_service.addr, "/p")[0].status_code == 200


def test_what_is_said_twice_on_the_same_connection_ends_it_and_is_executed_once(
    tcp_service: Service,
    relay: PutRelay,
    caller: Caller,
    asked: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    between = relay(tcp_service.addr)
    caller.ask(between.addr, "/p", {"text": "a call before"})
    between.meddle = lambda data: data * 2

    outcome = outcome_of(caller, between.addr, {"text": "once"})
    between.meddle = unchanged

    assert outcome == 200 or isinstance(outcome, ServiceLost)
    eventually(
        lambda: outcome_of(caller, between.addr, {"text": "a call after"}) == 200,
        "a new connection",
        seconds=10,
    )
    assert "or what it said was altered" in caplog.text
    assert asked.count({"text": "once"}) == 1


def messages_in(data: bytes) -> Iterator[range]:
    """Where ZeroMQ's messages are: of what is read at once, only one may be the call."""
    start = 0
    while start < len(data):
        body = start + (9 if data[start] & 2 else 2)
        end = body + int.from_bytes(data[start + 1 : body], "big")
        yield range(start, min(end, len(data)))
        start = end


def test_a_message_that_was_tampered_with_ends_the_connection_unexecuted(
    tcp_service: Service, relay: PutRelay, new_caller: NewCaller, asked: list[Any]
) -> None:
    between = relay(tcp_service.addr)
    callers = [new_caller() for _ in range(40)]
    for caller in callers:
        caller.ask(between.addr, "/p", {"honest": True})
    choose = random.Random(20130101)
    shares = itertools.cycle([number / len(callers) for number in range(len(callers))])
    """How far into a message: from how long it says that it is to its last byte."""

    def flip_bits(data: bytes) -> bytes:
        changed = bytearray(data)
        for message in messages_in(data):
            if len(message) >= 80:  # no ping; not its first byte: ZeroMQ ignores some bits of that
                at = message[1 + int(next(shares) * (len(message) - 1))]
                changed[at] ^= 1 << choose.randrange(8)
        return bytes(changed)

    between.meddle = flip_bits
    calls = [
        gevent.spawn(outcome_of, caller, between.addr, {"honest": False}) for caller in callers
    ]
    outcomes = [call.get(timeout=15) for call in calls]
    between.meddle = unchanged

    assert {type(outcome) for outcome in outcomes} <= {ServiceLost, ServiceTimeout}
    for caller in callers:
        eventually(
            lambda caller=caller: outcome_of(caller, between.addr, {"honest": True}) == 200,  # type: ignore[misc]
            "a new connection",  # handshakes were tampered with too: one may hang for 3 s
            seconds=10,
        )
    assert {"honest": False} not in asked


def test_a_handshake_that_was_tampered_with_leads_nowhere(
    tcp_service: Service, relay: PutRelay, new_caller: NewCaller, asked: list[Any]
) -> None:
    between = relay(tcp_service.addr)
    choose = random.Random(20130101)

    def flip_a_bit(data: bytes) -> bytes:
        if b"HELLO" not in data and b"INITIATE" not in data:
            return data
        changed = bytearray(data)
        changed[-choose.randrange(1, 100)] ^= 1 << choose.randrange(8)  # of what is encrypted
        return bytes(changed)

    between.meddle = flip_a_bit
    for _ in range(5):
        outcome = outcome_of(new_caller(), between.addr, {"honest": False})
        assert isinstance(outcome, ServiceError)

    assert asked == []
    assert tcp_service.callers == 0


def test_nothing_that_can_be_printed_shows_a_secret(service: Service, caller: Caller) -> None:
    caller.ask(service.addr, "/p")

    texts = [
        repr(value)
        for value in (
            caller.application._resources,
            caller.application,
            caller.connection(service.addr),
            *caller.sessions(service.addr),
            service.connection,
            service.application,
            KEYS,
        )
    ]

    assert service.addr in texts[0]
    for secret in secrets_of(PASSPHRASE):
        assert secret not in "".join(texts)


def test_a_whole_conversation_logs_no_secret(
    serve: Serve, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = serve()

    caller.ask(service.addr, "/echo")
    caller.ask(service.addr, "/nowhere")
    service.stop()
    with pytest.raises(ServiceError):
        caller.ask(service.addr, "/echo")

    for secret in secrets_of(PASSPHRASE):
        assert secret not in everything_logged(caplog)


def test_a_short_passphrase_is_warned_of_without_being_shown(
    serve: Serve, new_caller: NewCaller, caplog: pytest.LogCaptureFixture
) -> None:
    service = serve(passphrase="my_shared_secret")

    assert new_caller(passphrase="my_shared_secret").ask(service.addr)[0].status_code == 200

    assert caplog.text.count("the passphrase is short or published") == 1
    assert "my_shared_secret" not in everything_logged(caplog)


def test_no_message_makes_a_service_connect_to_anybody(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    came: list[object] = []
    somebody = StreamServer(("127.0.0.1", 0), lambda *connection: came.append(connection))
    somebody.start()
    addr = f"tcp://127.0.0.1:{somebody.server_port}"
    peer = raw_caller(serve().addr)
    names = ("origin_out_addr", "reply_to", "addr", "callback")  # the first is that of 2013
    told = dict.fromkeys(names, addr)

    peer.say(["hello", [1], addr])
    peer.hear("welcome")
    peer.say(["call", 1, 5000, "/echo", "request", told, told, addr])
    peer.hear("response")
    gevent.sleep(0.3)  # some time for what must not happen

    somebody.stop(timeout=0)
    assert came == []

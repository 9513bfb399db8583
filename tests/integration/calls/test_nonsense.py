"""Whatever a peer says, nothing dies, nobody else notices, and the next good word is understood."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
import zmq
from gevent import socket
from gevent.server import StreamServer

from brubeckservice import protocol, service_connection
from brubeckservice.addresses import parse_address
from brubeckservice.base import ServiceError, ServiceMessageHandler, ServiceProtocolError
from brubeckservice.keys import Keys
from tests.integration.calls.instances import ECHO, Caller, Service
from tests.integration.calls.raw_peers import (
    KEYS,
    Message,
    RawCaller,
    RawService,
    an_echo,
    frame_of,
    keyed,
)
from tests.integration.mutations import MUTATIONS, mutated
from tests.integration.programs import Program, resident
from tests.waiting import eventually

Serve = Callable[..., Service]
NewRawCaller = Callable[..., RawCaller]
StartRawService = Callable[..., RawService]

SEED = 20130101

NONSENSE = {
    "an empty frame": [b""],
    "two frames": [b'[["ping",1]]', b'[["ping",2]]'],
    "empty frames": [b"", b"", b""],
    "a thousand frames": [b'[["ping",1]]'] * 1000,
    "random bytes": [random.Random(SEED).randbytes(1000)],
    "no JSON": [b"GET / HTTP/1.1\r\n\r\n"],
    "an object": [b'{"call": 1}'],
    "a kind that is none": [b"[[1],[[]],[null]]"],
    "a kind that is no UTF-8": [b'[["\xff\xfe"]]'],
    "nesting without end": [b"[" * 500_000],
    "a nested message": [b'[["call",9,1000,"/p","request",{},{"a":' + b"[" * 400_000],
    "a number without end": [b'[["ping",' + b"9" * 500_000 + b"]]"],
    "a text of a megabyte": [b'[["hello",[1],"' + b"x" * 1_000_000 + b'"]]'],
    "a million messages": [b"[" + b",".join([b"[]"] * 300_000) + b"]"],
    "a message of the other side": [b'[["response",1,200,"OK","/p"]]'],
}


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No message may run into an error nobody foresaw."""
    yield
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []


def call(id_: int, **arguments: Any) -> Message:
    return ["call", id_, 5000, "/echo", "request", {}, arguments]


# What a service hears


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_service_drops_nonsense_and_answers_the_next_good_call(
    serve: Serve, raw_caller: NewRawCaller, caller: Caller, kind: str
) -> None:
    service = serve()
    peer = raw_caller(service.addr)
    peer.send(*NONSENSE[kind])
    peer.greet()

    peer.send(*NONSENSE[kind])
    peer.say(call(1, a=1))

    assert peer.hear("response", seconds=10)[7] == {"a": 1}
    assert service.connection.dropped.total() >= 2
    assert caller.ask(service.addr)[0].status_code == 200


def test_a_frame_past_the_bound_ends_the_connection_of_who_sent_it_only(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    service = serve()
    good, bad = raw_caller(service.addr), raw_caller(service.addr)
    good.greet()
    bad.greet()

    bad.send(b" " * (protocol.MAX_FRAME_BYTES + 100))
    good.say(call(1))

    assert good.hear("response")[1] == 1

    def has_a_new_session() -> bool:
        bad.say(["hello", [1]])  # libzmq connects again; what was under way may be lost
        return service.callers == 3

    eventually(has_a_new_session, "the connection was ended", seconds=10)


def test_a_frame_at_the_bound_is_read(serve: Serve, raw_caller: NewRawCaller) -> None:
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()

    peer.send(frame_of(call(1)).ljust(protocol.MAX_FRAME_BYTES))

    assert peer.hear("response")[1] == 1


def test_bytes_that_are_no_zeromq_harm_nobody(serve: Serve, caller: Caller) -> None:
    service = serve()
    _, host, port = parse_address(service.addr)
    choose = random.Random(SEED)

    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", choose.randbytes(5000)):
        with socket.create_connection((host, port), timeout=10) as stranger:
            stranger.sendall(data)
            try:
                while stranger.recv(65536):
                    pass  # until the service ends it
            except ConnectionResetError:
                pass  # which it may do so

    assert caller.ask(service.addr)[0].status_code == 200


@pytest.mark.parametrize("kind", [zmq.PUSH, zmq.PUB, zmq.SUB, zmq.PAIR, zmq.REP])
def test_a_socket_of_another_kind_is_not_listened_to(
    serve: Serve, started: ExitStack, caller: Caller, kind: int
) -> None:
    service = serve()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    started.callback(context.destroy, linger=0)
    peer = keyed(context.socket(kind), KEYS)
    started.callback(peer.close, linger=0)
    peer.connect(service.addr)
    if kind in (zmq.PUSH, zmq.PUB, zmq.PAIR):
        peer.send(frame_of(["hello", [1]], call(1)), zmq.NOBLOCK)
    gevent.sleep(0.3)  # some time for what must not happen

    assert service.callers == 0
    assert caller.ask(service.addr)[0].status_code == 200


def test_many_frames_at_the_bound_take_no_lasting_memory_and_delay_nobody_for_long(
    serve_apart: Callable[[], tuple[str, Program]], raw_caller: NewRawCaller, caller: Caller
) -> None:
    addr, program = serve_apart()
    caller.wait_for_replicas(addr, 1)
    before = resident(program.pid)
    bad = [raw_caller(addr) for _ in range(5)]
    largest = frame_of(["hello", [1], "x" * (protocol.MAX_FRAME_BYTES - 30)])

    for _ in range(40):
        for peer in bad:
            peer.send(largest)
        assert caller.ask(addr, timeout=5)[0].status_code == 200

    assert resident(program.pid) - before < 100_000_000


def test_who_calls_before_hello_is_told_goodbye_and_nothing_is_executed(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    executed: list[Any] = []

    class Counts(ServiceMessageHandler):
        def request(self) -> None:
            executed.append(self.message)

    service = serve([("^/echo$", Counts)])
    peer = raw_caller(service.addr)

    peer.say(call(1))
    assert peer.hear("goodbye") == ["goodbye", "no session: say hello first", False]
    peer.say(["ping", 1])
    assert peer.hear("goodbye")
    assert peer.greet()

    assert executed == []


def test_who_says_a_thousand_things_before_hello_is_told_goodbye_once(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    service = serve()
    peer = raw_caller(service.addr)

    peer.say(*(["ping", number] for number in range(1000)))
    peer.greet()  # passes over what came before

    peer.say(*(["ping", number] for number in range(1000)), call(1))
    assert peer.hear("response")[1] == 1
    assert service.connection.dropped["no session"] == 1


def test_who_says_hello_again_begins_anew_and_the_call_before_is_ended(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    service = serve()
    peer = raw_caller(service.addr)

    for what in ("before", "after"):
        peer.greet()
        peer.say(call(1, what=what, seconds=0.5))
        eventually(lambda: service.in_hand == 1, "the call is in hand", seconds=5)

    assert peer.hear("response")[7]["what"] == "after"
    gevent.sleep(0.5)  # some time for what must not happen
    assert peer.heard_so_far() == []
    assert service.callers == 1


def test_who_says_hello_again_is_told_nothing_more_of_what_it_said_before(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    peer = raw_caller(serve().addr)

    peer.say(["hello", [1]], ["ping", 1], ["hello", [1]], ["ping", 2])

    assert peer.hear("pong")[1] == 2


def test_who_comes_back_with_the_same_identity_gets_only_what_it_asked_for_since(
    serve: Serve,
    raw_caller: NewRawCaller,
) -> None:
    service = serve()
    before = RawCaller(service.addr, identity=b"worker-7")
    before.greet()
    before.say(call(1, what="before", seconds=1))
    eventually(lambda: service.in_hand == 1, "the call is in hand", seconds=5)
    before.close()
    gevent.sleep(0.3)  # until libzmq has noticed

    after = raw_caller(service.addr, identity=b"worker-7")
    after.greet()
    after.say(call(1, what="after", seconds=1.5))

    assert after.hear("response")[7]["what"] == "after"


@pytest.mark.parametrize("versions", [[], [0], [2, 3], [-1], [2**60]])
def test_who_speaks_no_common_version_is_told_which_one_is_spoken(
    serve: Serve, raw_caller: NewRawCaller, versions: list[int]
) -> None:
    service = serve()
    peer = raw_caller(service.addr)

    peer.say(["hello", versions])

    assert peer.hear("goodbye") == ["goodbye", "no common version: this service speaks 1", False]
    assert service.callers == 0


def test_a_version_among_others_is_chosen(serve: Serve, raw_caller: NewRawCaller) -> None:
    service = serve()
    peer = raw_caller(service.addr)

    peer.say(["hello", [7, 1, 3]])

    assert peer.hear("welcome")[:4] == ["welcome", 1, service.connection.instance, 5000]


def test_past_the_bound_of_sessions_a_caller_is_told_goodbye(
    serve: Serve, raw_caller: NewRawCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_connection, "MAX_SESSIONS", 2)
    monkeypatch.setattr(service_connection, "DOUBT_WHEN_FULL", 0)
    service = serve()
    for _ in range(2):
        raw_caller(service.addr).greet()

    peer = raw_caller(service.addr)
    peer.say(["hello", [1]])

    assert peer.hear("goodbye") == ["goodbye", "too many sessions", True]
    assert service.callers == 2


def test_a_caller_that_falls_silent_is_forgotten(
    serve: Serve, raw_caller: NewRawCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_connection, "FORGET_AFTER", 0.3)
    service = serve()
    raw_caller(service.addr).greet()

    eventually(lambda: service.callers == 0, "it is forgotten", seconds=5)


def test_a_call_that_was_here_before_is_not_executed_again(
    serve: Serve, raw_caller: NewRawCaller
) -> None:
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()

    peer.say(call(5), call(5), call(4), call(6))

    assert [peer.hear("response")[1], peer.hear("response")[1]] == [5, 6]
    peer.say(["ping", 1])
    peer.hear("pong")
    assert peer.heard_so_far() == []
    assert service.connection.dropped.total() == 2


def test_unknown_kinds_and_elements_are_ignored_on_both_sides(
    serve: Serve, raw_caller: NewRawCaller, raw_service: StartRawService, caller: Caller
) -> None:
    peer = raw_caller(serve().addr)
    peer.say(["news", 1], ["hello", [1], "raw", "new"], ["call", 1, 1000, "/echo"] + 9 * ["new"])
    peer.say([*call(2), "r-1", "", 1, False, "new in version 9", {"a": [1]}])
    assert peer.hear("response")[1:3] == [2, 200]

    future = raw_service(
        lambda c: [["news", 1], [*an_echo(c)[0], "r-1", "new in version 9"]],
        greeting=["welcome", 1, "raw", 100, "new in version 9"],
    )
    assert caller.ask(future.addr, "/echo", {"a": 1})[0].body == {"a": 1}


# What a caller hears


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_caller_drops_nonsense_and_understands_the_next_good_answer(
    raw_service: StartRawService, caller: Caller, kind: str
) -> None:
    service = raw_service()
    caller.ask(service.addr)
    (session,) = caller.sessions(service.addr)

    service.send(*NONSENSE[kind])

    assert caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1}
    assert caller.sessions(service.addr) == [session]


SOMETHING_ELSE = {
    "a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nobody who speaks": b"",
    "random bytes": random.Random(SEED).randbytes(1000),
}


@pytest.mark.parametrize("kind", SOMETHING_ELSE)
def test_where_something_else_listens_a_call_fails_within_seconds_until_the_service_is_there(
    serve: Serve, caller: Caller, kind: str
) -> None:
    def answer(stranger: socket.socket, _: object) -> None:
        stranger.sendall(SOMETHING_ELSE[kind])
        gevent.sleep(10 if kind == "nobody who speaks" else 0)

    something = StreamServer(("127.0.0.1", 0), answer)
    something.start()
    addr = f"tcp://127.0.0.1:{something.server_port}"
    with gevent.Timeout(5), pytest.raises(ServiceError, match=r"127\.0\.0\.1"):
        caller.ask(addr, timeout=60)

    something.stop(timeout=0)
    serve(addr=addr)
    caller.wait_for_replicas(addr, 1)
    assert caller.ask(addr)[0].status_code == 200


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.SUB, zmq.PUSH, zmq.DEALER])
@pytest.mark.parametrize("keys", [KEYS, None], ids=["the right keys", "no security"])
def test_a_socket_of_another_kind_is_no_service(
    serve: Serve, started: ExitStack, caller: Caller, kind: int, keys: Keys | None
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    started.callback(context.destroy, linger=0)
    something = context.socket(kind)
    started.callback(something.close, linger=0)
    if keys is not None:
        something.set(zmq.CURVE_SERVER, 1)
        something.set(zmq.CURVE_SECRETKEY, keys.service.secret)
    addr = f"tcp://127.0.0.1:{something.bind_to_random_port('tcp://127.0.0.1')}"
    with gevent.Timeout(5), pytest.raises(ServiceError, match=r"127\.0\.0\.1"):
        caller.ask(addr, timeout=60)

    context.destroy(linger=0)
    serve(addr=addr)
    caller.wait_for_replicas(addr, 1)
    assert caller.ask(addr)[0].status_code == 200


@pytest.mark.parametrize("status", [99, 600, -1, 200.5, "200", None, True, [200]])
def test_an_answer_whose_status_is_none_is_no_answer(
    raw_service: StartRawService, caller: Caller, status: object
) -> None:
    service = raw_service(
        lambda c: [["response", c[1], status, "forged", c[3]], *an_echo(c)],
    )

    assert caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1}


FORGERIES: dict[str, Callable[[Message], list[Message]]] = {
    "another id": lambda c: [["response", c[1] + 1, 200, "OK", c[3]]],
    "an id nobody has": lambda c: [["response", 2**53 - 1, 200, "OK", c[3]]],
    "a refusal of another call": lambda c: [["refused", c[1] + 1, "overloaded"]],
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_an_answer_to_no_call_changes_nothing_but_a_counter(
    raw_service: StartRawService, caller: Caller, kind: str
) -> None:
    service = raw_service(lambda c: FORGERIES[kind](c) + an_echo(c))

    response, _ = caller.ask(service.addr, "/echo", {"a": 1})

    assert response.body == {"a": 1}
    assert caller.connection(service.addr).dropped == 1


def test_the_first_of_two_answers_counts(raw_service: StartRawService, caller: Caller) -> None:
    service = raw_service(
        lambda c: [*an_echo(c), ["response", c[1], 500, "a second one", c[3]], *an_echo(c)]
    )

    assert caller.ask(service.addr)[0].status_code == 200

    connection = caller.connection(service.addr)
    eventually(lambda: connection.dropped == 2, "the others are dropped", seconds=5)


def test_a_service_cannot_answer_for_another_one(
    raw_service: StartRawService, caller: Caller
) -> None:
    services = [raw_service(lambda _: []), raw_service(lambda _: [])]
    addr = [service.addr for service in services]
    caller.wait_for_replicas(addr, 2)
    waiting = gevent.spawn(caller.ask, addr, "/echo", {"a": 1})
    eventually(lambda: any(service.calls for service in services), "one is asked", seconds=5)
    asked, forger = services if services[0].calls else reversed(services)
    (question,) = asked.calls

    forger.say(["response", question[1], 200, "forged", question[3]])
    connection = caller.connection(addr)
    eventually(lambda: connection.dropped == 1, "the forgery is dropped", seconds=5)
    asked.say(*an_echo(question))

    assert waiting.get(timeout=5)[0].body == {"a": 1}


def test_an_answer_about_another_path_is_an_error_and_reaches_no_handler(
    raw_service: StartRawService, new_caller: Callable[..., Caller]
) -> None:
    class Private(ServiceMessageHandler):
        def response(self) -> None:
            raise AssertionError("a response chose its handler")

    caller = new_caller([("^/private$", Private)])
    service = raw_service(lambda c: [["response", c[1], 200, "OK", "/private"]])

    with pytest.raises(ServiceProtocolError, match="another path"):
        caller.ask(service.addr, "/echo")


@pytest.mark.parametrize("method", ["__init__", "_private", "render", "head", "", "initialize"])
def test_no_method_of_a_response_runs_anything_but_the_eight(
    raw_service: StartRawService, new_caller: Callable[..., Caller], method: str
) -> None:
    service = raw_service(lambda c: [["response", c[1], 200, "OK", c[3], method]])
    caller = new_caller(ECHO)

    response, result = caller.ask(service.addr)

    assert (response.status_code, result.status_code) == (200, 405)


# A great many changes


def test_a_service_survives_thousands_of_random_changes(
    serve: Serve, raw_caller: NewRawCaller, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    choose = random.Random(SEED)
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()
    good: list[list[Message]] = [
        [["hello", [1], "raw"]],
        [["ping", 7]],
        [call(1, text="naïve ☃", n=[1.5, None, {"a": True}])],
        [
            ["ping", 8],
            call(2, a=1),
            ["call", 3, 1000, "/nowhere", "get", {"X": "1"}, {}, "r-1", ""],
        ],
    ]

    for _ in range(MUTATIONS):
        peer.send(mutated(choose, frame_of(*choose.choice(good))))
    peer.say(call(protocol.MAX_ID, a="good"))

    with gevent.Timeout(60):
        while peer.hear("response", seconds=60)[1] != protocol.MAX_ID:
            pass
    assert service.connection.dropped.total() > MUTATIONS / 10
    assert caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1}
    eventually(lambda: service.in_hand == 0, "nothing is left over", seconds=10)


def test_a_caller_survives_thousands_of_random_changes(
    raw_service: StartRawService, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    choose = random.Random(SEED)
    service = raw_service()
    caller.ask(service.addr)
    good: list[list[Message]] = [
        [["pong", 7, 3, False]],
        [["refused", 1, "overloaded"]],
        [["response", 1, 200, "naïve ☃", "/echo", "response", {"X": "1"}, {"a": [1.5, None]}]],
        [["pong", 8], ["response", 2, 404, "", "/echo"], ["response", 3, 500, "", "/p"]],
    ]

    for _ in range(MUTATIONS):
        service.send(mutated(choose, frame_of(*choose.choice(good))))

    def answers() -> bool:
        try:
            return bool(caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1})
        except ServiceError:
            return False  # a change may have made the service say that it is stopping

    eventually(answers, "the next good answer is understood", seconds=20)
    assert caller.connection(service.addr).replicas.malformed > MUTATIONS / 10

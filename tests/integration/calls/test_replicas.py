"""A service is all its replicas: every one is used, the least busy first."""

import errno
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

import gevent
import pytest
import zmq

from brubeckservice.base import (
    ServiceLost,
    ServiceMessageHandler,
    ServiceResponse,
    ServiceUnavailable,
)
from tests.integration.calls.instances import ECHO, PASSPHRASE, Caller, Service, free_address
from tests.ports import free_port
from tests.waiting import eventually

Serve = Callable[..., Service]


class Who(ServiceMessageHandler):
    """Says which replica answered."""

    def request(self) -> ServiceResponse:
        self.set_status(200)
        self.add_to_payload("addr", self.application.msg_conn.addr)  # type: ignore[attr-defined]
        return self.render()


ROUTES = [*ECHO, ("^/who$", Who)]


def who_answers(caller: Caller, addr: str | Sequence[str], calls: int) -> Counter[str]:
    """How many of several calls each replica answered."""
    return Counter(caller.ask(addr, "/who")[0].body["addr"] for _ in range(calls))


def test_all_addresses_of_a_list_are_used_alike(serve: Serve, caller: Caller) -> None:
    services = [serve(ROUTES) for _ in range(3)]
    addr = [service.addr for service in services]
    caller.wait_for_replicas(addr, 3)

    assert who_answers(caller, addr, 9) == dict.fromkeys(addr, 3)


def test_a_replica_that_has_a_call_in_hand_is_asked_last(serve: Serve, caller: Caller) -> None:
    services = [serve(ROUTES) for _ in range(3)]
    addr = [service.addr for service in services]
    caller.wait_for_replicas(addr, 3)
    slow = gevent.spawn(caller.ask, addr, "/echo", {"seconds": 1})
    eventually(lambda: any(s.in_hand for s in services), "the slow call is in hand", seconds=5)
    (busy,) = (service.addr for service in services if service.in_hand)

    answered = who_answers(caller, addr, 8)

    assert busy not in answered
    assert sorted(answered.values()) == [4, 4]
    slow.get(timeout=5)


def test_a_caller_is_told_which_replica_has_its_call(serve: Serve, caller: Caller) -> None:
    services = [serve(ROUTES) for _ in range(3)]
    addr = [service.addr for service in services]
    caller.wait_for_replicas(addr, 3)
    told: list[str] = []

    answered = [caller.ask(addr, "/who", on_sent=told.append)[0].body["addr"] for _ in range(3)]

    instances = {service.addr: service.connection.instance for service in services}
    assert told == [instances[addr] for addr in answered]


def test_a_caller_is_told_again_when_another_replica_gets_its_call(
    serve: Serve, caller: Caller
) -> None:
    services = {service.connection.instance: service for service in (serve(ROUTES), serve(ROUTES))}
    addr = [service.addr for service in services.values()]
    caller.wait_for_replicas(addr, 2)
    told: list[str] = []

    def cut_off_the_first(instance: str) -> None:
        told.append(instance)
        if len(told) == 1:
            (session,) = (s for s in caller.sessions(addr) if s.instance == instance)
            gevent.get_hub().loop.run_callback(session._end, ServiceLost("cut"))

    caller.ask(addr, "/echo", {"seconds": 0.2}, idempotent=True, on_sent=cut_off_the_first)

    assert sorted(told) == sorted(services)


def test_a_caller_sees_how_the_replicas_are(serve: Serve, caller: Caller) -> None:
    service = serve(ROUTES)
    nobody = free_address()
    addr = [service.addr, nobody]
    caller.ask(addr)

    states = {state.endpoint: state for state in caller.replica_states(addr)}

    assert states[service.addr].state == "ready"
    assert states[service.addr].instance == service.connection.instance
    assert (states[nobody].state, states[nobody].error) == ("absent", f"nobody answers at {nobody}")


def test_the_calls_of_a_replica_that_goes_go_to_the_others(serve: Serve, caller: Caller) -> None:
    stays, goes = serve(ROUTES), serve(ROUTES)
    addr = [stays.addr, goes.addr]
    caller.wait_for_replicas(addr, 2)

    goes.stop()

    assert who_answers(caller, addr, 6) == {stays.addr: 6}


def test_a_replica_that_comes_back_is_used_again(serve: Serve, caller: Caller) -> None:
    stays, goes = serve(ROUTES), serve(ROUTES)
    addr = [stays.addr, goes.addr]
    caller.wait_for_replicas(addr, 2)
    goes.stop()
    assert who_answers(caller, addr, 2) == {stays.addr: 2}

    serve(ROUTES, addr=goes.addr)

    caller.wait_for_replicas(addr, 2)
    assert who_answers(caller, addr, 6) == {stays.addr: 3, goes.addr: 3}


class NameService:
    """Knows one name; its addresses are all of this machine."""

    def __init__(self) -> None:
        self.port = free_port()
        self.hosts: list[str] = []
        self.asked = 0

    def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        assert host == "slow-service"
        if not self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.hosts
        ]

    @property
    def addr(self) -> str:
        return f"tcp://slow-service:{self.port}"

    def addr_of(self, host: str) -> str:
        return f"tcp://{host}:{self.port}"

    def wait_for_lookup(self) -> None:
        """Wait until a lookup that began from now on has ended."""
        asked = self.asked
        eventually(lambda: self.asked >= asked + 2, "the name is looked up", seconds=5)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameService:
    names = NameService()
    monkeypatch.setattr("brubeckservice.addresses.socket.getaddrinfo", names.getaddrinfo)
    return names


ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def test_all_addresses_of_a_name_are_used(serve: Serve, caller: Caller, names: NameService) -> None:
    names.hosts = [ONE, TWO, THREE]
    for host in names.hosts:
        serve(ROUTES, addr=names.addr_of(host))
    caller.wait_for_replicas(names.addr, 3)

    answered = who_answers(caller, names.addr, 9)

    assert answered == {names.addr_of(host): 3 for host in names.hosts}


def test_an_address_that_appears_is_used_within_seconds(
    serve: Serve, caller: Caller, names: NameService
) -> None:
    names.hosts = [ONE]
    for host in (ONE, TWO):
        serve(ROUTES, addr=names.addr_of(host))
    assert who_answers(caller, names.addr, 2) == {names.addr_of(ONE): 2}

    names.hosts = [ONE, TWO]

    caller.wait_for_replicas(names.addr, 2)
    assert who_answers(caller, names.addr, 4) == {names.addr_of(ONE): 2, names.addr_of(TWO): 2}


def test_an_address_that_disappears_gets_no_new_calls_and_goes_when_it_has_none_in_hand(
    serve: Serve, caller: Caller, names: NameService
) -> None:
    names.hosts = [ONE, TWO]
    one, two = (serve(ROUTES, addr=names.addr_of(host)) for host in (ONE, TWO))
    caller.wait_for_replicas(names.addr, 2)
    calls = [gevent.spawn(caller.ask, names.addr, "/echo", {"seconds": 2.5}) for _ in range(2)]
    eventually(lambda: one.in_hand == two.in_hand == 1, "each has a call in hand", seconds=5)

    names.hosts = [ONE]

    caller.wait_for_replicas(names.addr, 1)
    assert who_answers(caller, names.addr, 4) == {one.addr: 4}
    assert two.in_hand == 1
    assert [call.get(timeout=5)[0].status_code for call in calls] == [200, 200]
    eventually(lambda: len(caller.sessions(names.addr)) == 1, "its connection is closed", seconds=5)


def test_a_lookup_that_fails_changes_nothing(
    serve: Serve, caller: Caller, names: NameService
) -> None:
    names.hosts = [ONE, TWO]
    for host in names.hosts:
        serve(ROUTES, addr=names.addr_of(host))
    caller.wait_for_replicas(names.addr, 2)

    names.hosts = []
    names.wait_for_lookup()

    assert who_answers(caller, names.addr, 4) == {names.addr_of(ONE): 2, names.addr_of(TWO): 2}


def test_an_address_that_disappears_before_it_was_reached_is_not_waited_for(
    serve: Serve, caller: Caller, names: NameService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brubeckservice.replicas.RESOLVE_INTERVAL", 0.1)
    monkeypatch.setattr("brubeckservice.replicas.FIRST_ATTEMPT_TIMEOUT", 60.0)
    monkeypatch.setattr("brubeckservice.session.WELCOME_TIMEOUT", 60.0)
    names.hosts = [ONE, TWO]
    serve(ROUTES, addr=names.addr_of(ONE))
    with socket.create_server((TWO, names.port)):  # takes connections and says nothing
        caller.wait_for_replicas(names.addr, 1)
        assert [s.state for s in caller.replica_states(names.addr)] == ["ready", "connecting"]

        names.hosts = [ONE]
        eventually(lambda: len(caller.replica_states(names.addr)) == 1, "it goes", seconds=5)

    with gevent.Timeout(5):
        caller.connection(names.addr).check(60)


def test_a_name_that_nobody_knew_is_found_when_somebody_does(
    serve: Serve, caller: Caller, names: NameService
) -> None:
    serve(ROUTES, addr=names.addr_of(ONE))
    caller.connection(names.addr)
    names.wait_for_lookup()

    names.hosts = [ONE]

    caller.wait_for_replicas(names.addr, 1)
    assert who_answers(caller, names.addr, 1) == {names.addr_of(ONE): 1}


# What goes wrong while replicas are looked for


def test_a_replica_that_no_connection_could_be_made_to_is_tried_again(
    serve: Serve, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(ROUTES)
    with monkeypatch.context() as patch:
        patch.setattr("brubeckservice.session._monitored_dealer", no_descriptor_is_free)
        with pytest.raises(ServiceUnavailable, match="cannot be reached: Too many open files"):
            caller.ask(service.addr, "/who")

    caller.wait_for_replicas(service.addr, 1)
    assert who_answers(caller, service.addr, 1) == {service.addr: 1}


def no_descriptor_is_free(*_: Any) -> Any:
    raise zmq.ZMQError(errno.EMFILE)


def test_a_path_that_is_too_long_is_said_to_be_so_and_other_addresses_are_used(
    serve: Serve, caller: Caller
) -> None:
    service = serve(ROUTES)
    addr = [f"ipc:///{'long' * 50}", service.addr]
    caller.wait_for_replicas(addr, 1)

    states = {replica.endpoint: replica for replica in caller.replica_states(addr)}

    assert "File name too long" in states[addr[0]].error
    assert who_answers(caller, addr, 2) == {service.addr: 2}


def test_each_replica_that_cannot_be_reached_is_told_of_once(
    serve: Serve, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = serve(ROUTES, passphrase="a passphrase of somebody else")
    addr = [stranger.addr, free_address()]
    (connection := caller.connection(addr)).replicas.wait_for_first_attempt(5)

    replicas = connection.replicas._replicas.values()
    eventually(lambda: all(r.failures > 3 for r in replicas), "they are tried again", seconds=10)

    told = [r for r in caplog.records if r.name == "brubeckservice.replicas"]
    assert len(told) == len(addr)


def test_a_replica_of_which_the_log_cannot_be_told_is_tried_again(
    serve: Serve, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    addr = free_address()
    fails = Mock(side_effect=RuntimeError("no place to log to"))
    with monkeypatch.context() as patch:
        patch.setattr("brubeckservice.replicas.logger.warning", fails)
        caller.connection(addr)
        eventually(lambda: fails.called, "it is to be logged", seconds=5)

    serve(ROUTES, addr=addr)

    caller.wait_for_replicas(addr, 1)
    assert who_answers(caller, addr, 1) == {addr: 1}


def test_an_address_that_has_left_is_called_as_long_as_nobody_answers_at_the_new_one(
    serve: Serve, caller: Caller, names: NameService
) -> None:
    addr = serve(ROUTES, addr=names.addr_of(ONE)).addr
    names.hosts = [ONE]
    assert who_answers(caller, names.addr, 1) == {addr: 1}

    names.hosts = [TWO]
    names.wait_for_lookup()
    assert who_answers(caller, names.addr, 1) == {addr: 1}

    another = serve(ROUTES, addr=names.addr_of(TWO)).addr
    eventually(
        lambda: who_answers(caller, names.addr, 1) == {another: 1}, "the new one", seconds=10
    )
    eventually(lambda: len(caller.replica_states(names.addr)) == 1, "the old one goes", seconds=10)


@pytest.mark.parametrize("what", ["resolve", "derive_keys"])
def test_looking_for_replicas_goes_on_whatever_happens_and_shows_no_passphrase(
    serve: Serve,
    caller: Caller,
    names: NameService,
    *,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    serve(ROUTES, addr=names.addr_of(ONE))
    names.hosts = [ONE]
    with monkeypatch.context() as patch:
        patch.setattr(f"brubeckservice.replicas.{what}", Mock(side_effect=ZeroDivisionError))
        connection = caller.connection(names.addr)
        eventually(lambda: "cannot be looked up" in caplog.text, "it fails", seconds=5)

    caller.wait_for_replicas(names.addr, 1)
    shown = "".join(capfd.readouterr()) + caplog.text + repr(connection.replicas)
    assert "ZeroDivisionError" in shown
    assert PASSPHRASE[:20] not in shown  # gevent shortens what it shows

"""Every call has one outcome: the response, or the error that says what went wrong."""

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue

from brubeckservice import service_connection, session
from brubeckservice.base import (
    ServiceClientMixin,
    ServiceError,
    ServiceLost,
    ServiceMessageHandler,
    ServiceProtocolError,
    ServiceRefused,
    ServiceResponse,
    ServiceTimeout,
    ServiceUnavailable,
)
from tests.integration.calls.instances import PASSPHRASE, Caller, Service, free_address
from tests.integration.calls.raw_peers import Message, RawCaller, RawService, an_echo
from tests.integration.calls.relay import Relay
from tests.integration.programs import Program
from tests.waiting import eventually

Serve = Callable[..., Service]
ServeApart = Callable[[], tuple[str, Program]]
StartRawService = Callable[..., RawService]


def outcome_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> int | ServiceError:
    """The status of a call's answer, or its error."""
    try:
        response, _ = call(*arguments, **options)
    except ServiceError as error:
        return error
    return int(response.status_code)


def outcomes(calls: "list[gevent.Greenlet[..., Any]]") -> list[Any]:
    return [call.get(timeout=15) for call in calls]


def answers(caller: Caller, addr: Any) -> bool:
    return outcome_of(caller.ask, addr) == 200


# Nobody there


def test_nobody_there_is_known_at_once(caller: Caller) -> None:
    nowhere = free_address()
    with gevent.Timeout(5), pytest.raises(ServiceUnavailable, match="nobody answers"):
        caller.ask(nowhere, timeout=60)

    with gevent.Timeout(1), pytest.raises(ServiceUnavailable, match="nobody answers"):
        caller.ask(nowhere, timeout=60)


def test_a_name_nobody_knows_is_known_at_once(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("brubeckservice.addresses.socket.getaddrinfo", getaddrinfo)

    with gevent.Timeout(5), pytest.raises(ServiceUnavailable, match=r"slow-service.*not known"):
        caller.ask("tcp://slow-service:9000", timeout=60)


def test_a_socket_file_nobody_listens_at_is_known_at_once(caller: Caller, tmp_path: Any) -> None:
    with gevent.Timeout(5), pytest.raises(ServiceUnavailable):
        caller.ask(f"ipc://{tmp_path}/nobody", timeout=60)


def test_a_service_that_appears_later_is_found(serve: Serve, caller: Caller) -> None:
    addr = free_address()
    assert isinstance(outcome_of(caller.ask, addr), ServiceUnavailable)

    serve(addr=addr)

    eventually(lambda: answers(caller, addr), "the service is found", seconds=5)


# Lost


def test_calls_in_hand_at_a_killed_service_are_lost_and_it_is_found_again(
    serve_apart: ServeApart, caller: Caller
) -> None:
    addr, process = serve_apart()
    caller.ask(addr)
    calls = [
        gevent.spawn(outcome_of, caller.ask, addr, "/echo", {"seconds": 30}, timeout=60)
        for _ in range(10)
    ]
    gevent.sleep(0)
    assert caller.waiting() == 10

    process.kill()
    killed = time.monotonic()

    assert {type(outcome) for outcome in outcomes(calls)} == {ServiceLost}
    assert time.monotonic() - killed < 2
    assert isinstance(outcome_of(caller.ask, addr), ServiceUnavailable)

    process.start()
    eventually(lambda: answers(caller, addr), "it is found again", seconds=10)


def test_a_frozen_service_gets_no_calls_while_another_answers_and_its_calls_are_lost(
    serve_apart: ServeApart, serve: Serve, caller: Caller
) -> None:
    frozen, process = serve_apart()
    good = serve()
    addr = [frozen, good.addr]
    caller.wait_for_replicas(addr, 2)
    (at_frozen,) = [s for s in caller.sessions(addr) if s.endpoint == frozen]

    os.kill(process.pid, signal.SIGSTOP)
    try:
        calls = [gevent.spawn(outcome_of, caller.ask, addr, "/echo", timeout=30) for _ in range(4)]
        eventually(
            lambda: at_frozen.busy or at_frozen.closed, "it is noticed to be busy", seconds=5
        )
        assert [outcome_of(caller.ask, addr) for _ in range(4)] == [200] * 4
        kinds = [type(outcome) for outcome in outcomes(calls)]
    finally:
        os.kill(process.pid, signal.SIGCONT)

    assert sorted(kinds, key=repr) == [ServiceLost, ServiceLost, int, int]
    caller.wait_for_replicas(addr, 2)


def test_a_service_that_is_frozen_from_the_start_is_unavailable_not_of_another_passphrase(
    serve_apart: ServeApart, caller: Caller
) -> None:
    addr, process = serve_apart()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with gevent.Timeout(10), pytest.raises(ServiceUnavailable, match="no welcome"):
            caller.ask(addr, timeout=60)
    finally:
        os.kill(process.pid, signal.SIGCONT)


# Too late


def test_a_call_that_is_never_answered_ends_in_time_and_leaves_nothing(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(lambda _: [])
    caller.wait_for_replicas(service.addr, 1)

    with gevent.Timeout(5), pytest.raises(ServiceTimeout, match=r"no answer from .* about /echo"):
        caller.ask(service.addr, timeout=0.2)

    eventually(lambda: service.calls, "the call has come", seconds=5)
    assert len(service.calls) == 1
    assert caller.waiting() == 0


def test_a_call_that_may_take_no_time_at_all_ends_at_once(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(lambda _: [])
    caller.wait_for_replicas(service.addr, 1)

    with gevent.Timeout(5), pytest.raises(ServiceTimeout):
        caller.ask(service.addr, timeout=0)


def test_a_call_may_take_longer_than_a_budget_can_say(serve: Serve, caller: Caller) -> None:
    response, _ = caller.ask(serve().addr, timeout=1_000_000)

    assert response.status_code == 200


def test_a_caller_that_gives_up_by_itself_leaves_nothing(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(lambda _: [])
    caller.wait_for_replicas(service.addr, 1)

    with pytest.raises(gevent.Timeout), gevent.Timeout(0.3):
        caller.ask(service.addr, timeout=60)

    eventually(lambda: service.calls, "the call has come", seconds=5)
    assert len(service.calls) == 1
    assert caller.waiting() == 0
    (session,) = caller.sessions(service.addr)
    assert session.outstanding == 0


class WaitsUntilItIsEnded(ServiceMessageHandler):
    """Waits for ever, and tells how it ended."""

    begun: Queue[str]
    ended: Queue[BaseException]

    def request(self) -> None:
        self.begun.put(self.message.path)
        try:
            Event().wait()
        except BaseException as error:
            self.ended.put(error)
            raise


@pytest.fixture
def waiting_service(serve: Serve) -> Service:
    WaitsUntilItIsEnded.begun, WaitsUntilItIsEnded.ended = Queue(), Queue()
    return serve([(r"^/wait$", WaitsUntilItIsEnded)])


def test_the_handler_of_a_caller_that_gave_up_is_ended(
    waiting_service: Service, caller: Caller
) -> None:
    caller.connection(waiting_service.addr)

    call = gevent.spawn(caller.ask, waiting_service.addr, "/wait", timeout=60)
    WaitsUntilItIsEnded.begun.get(timeout=10)
    call.kill()

    assert isinstance(WaitsUntilItIsEnded.ended.get(timeout=10), gevent.GreenletExit)
    eventually(lambda: waiting_service.in_hand == 0, "nothing is in hand", seconds=10)


class ComputesWhileAnybodyWaits(ServiceMessageHandler):
    """Computes in a native thread, and tells what was left when it ended."""

    cpu_bound = True

    begun: list[str]
    ended: list[float]

    def request(self) -> None:
        self.begun.append(self.message.path)
        enough = time.monotonic() + 10
        while self.seconds_left and time.monotonic() < enough:
            sum(range(1000))
        self.ended.append(self.seconds_left)


def test_a_thread_that_computes_for_a_caller_that_gave_up_is_told(
    serve: Serve, caller: Caller
) -> None:
    ComputesWhileAnybodyWaits.begun, ComputesWhileAnybodyWaits.ended = [], []
    service = serve([("^/compute$", ComputesWhileAnybodyWaits)])
    caller.connection(service.addr)

    call = gevent.spawn(caller.ask, service.addr, "/compute", timeout=60)
    eventually(lambda: ComputesWhileAnybodyWaits.begun, "it computes", seconds=10)
    call.kill()

    eventually(lambda: ComputesWhileAnybodyWaits.ended, "it ends", seconds=5)
    assert ComputesWhileAnybodyWaits.ended == [0]


def test_the_handler_of_a_call_that_is_too_late_is_ended_by_its_caller(
    waiting_service: Service, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_connection, "GRACE", 60.0)
    caller.wait_for_replicas(waiting_service.addr, 1)

    assert isinstance(
        outcome_of(caller.ask, waiting_service.addr, "/wait", timeout=0.3), ServiceTimeout
    )

    assert isinstance(WaitsUntilItIsEnded.ended.get(timeout=10), gevent.GreenletExit)


def test_a_call_that_nobody_waits_for_any_more_is_not_begun(
    waiting_service: Service, raw_caller: Callable[..., RawCaller]
) -> None:
    peer = raw_caller(waiting_service.addr)
    peer.greet()

    peer.say(["call", 1, 60_000, "/wait"], ["cancel", 1], ["call", 2, 60_000, "/nowhere"])

    assert peer.hear("response")[1:3] == [2, 404]
    assert WaitsUntilItIsEnded.begun.empty()
    assert waiting_service.in_hand == 0


def test_the_handler_of_a_caller_that_died_is_ended(waiting_service: Service) -> None:
    peer = RawCaller(waiting_service.addr)
    peer.greet()
    peer.say(["call", 1, 60_000, "/wait"])
    WaitsUntilItIsEnded.begun.get(timeout=10)

    peer.close()

    assert isinstance(WaitsUntilItIsEnded.ended.get(timeout=10), gevent.GreenletExit)
    eventually(lambda: waiting_service.callers == 0, "it is forgotten", seconds=5)
    assert waiting_service.in_hand == 0


def test_callers_that_open_a_session_for_each_call_lock_nobody_out(
    serve: Serve, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_connection, "MAX_SESSIONS", 10)
    monkeypatch.setattr(service_connection, "DOUBT_WHEN_FULL", 0)
    service = serve()

    class Brief(ServiceClientMixin):
        """Has no application that would keep its connections."""

    brief = Brief()
    brief.register_service(service.addr, PASSPHRASE)
    for _ in range(50):
        request = brief.create_service_request("/echo")
        assert brief.send_service_request(service.addr, request, 10)[0].status_code == 200

    assert answers(caller, service.addr)


def test_the_handler_of_a_caller_that_only_falls_silent_goes_on(
    waiting_service: Service,
    raw_caller: Callable[..., RawCaller],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_connection, "DOUBT_AFTER", 0.1)
    peer = raw_caller(waiting_service.addr)
    peer.greet()
    peer.say(["call", 1, 60_000, "/wait"])

    assert peer.hear("pong") == ["pong", 0, 1, False]
    assert peer.hear("pong") == ["pong", 0, 1, False]
    assert waiting_service.in_hand == 1


def test_calls_whose_time_went_by_while_the_service_computed_are_not_begun(
    serve_apart: ServeApart, raw_caller: Callable[..., RawCaller]
) -> None:
    addr, _ = serve_apart()
    peer = raw_caller(addr)
    peer.greet()
    began = time.monotonic()
    peer.say(["call", 1, 60_000, "/hog", "request", {}, {"seconds": 2}, "", "", 1])
    gevent.sleep(0.5)

    sent = int((time.monotonic() - began) * 1000)
    peer.say(["call", 2, 1_000, "/echo", "request", {}, {}, "", "", sent])
    peer.say(["call", 3, 10_000, "/echo", "request", {}, {}, "", "", sent])

    gevent.sleep(3)
    heard = {id_: kind for kind, id_, *_ in peer.heard_so_far() if kind != "pong"}
    assert heard == {1: "response", 2: "refused", 3: "response"}


def test_nobody_ends_the_call_of_another_caller(
    waiting_service: Service, raw_caller: Callable[..., RawCaller]
) -> None:
    peer, stranger = raw_caller(waiting_service.addr), raw_caller(waiting_service.addr)
    peer.greet()
    stranger.greet()
    peer.say(["call", 1, 60_000, "/wait"])
    WaitsUntilItIsEnded.begun.get(timeout=10)

    stranger.say(["cancel", 1], ["call", 2, 60_000, "/nowhere"])

    assert stranger.hear("response")[1:3] == [2, 404]
    assert waiting_service.in_hand == 1


def test_an_answer_that_is_late_changes_nothing_but_a_counter(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(lambda _: [])
    caller.wait_for_replicas(service.addr, 1)
    assert isinstance(outcome_of(caller.ask, service.addr, timeout=0.3), ServiceTimeout)
    eventually(lambda: service.calls, "the call has come", seconds=5)
    service.answer = an_echo
    connection = caller.connection(service.addr)

    service.say(*an_echo(service.calls[0]))

    eventually(lambda: connection.dropped == 1, "the late answer is dropped", seconds=5)
    assert caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1}


def test_a_service_ends_a_handler_whose_time_is_over_and_says_504(
    serve: Serve, raw_caller: Callable[..., RawCaller]
) -> None:
    ended: list[str] = []

    class Sleeps(ServiceMessageHandler):
        def request(self) -> Any:
            try:
                gevent.sleep(60)
            finally:
                ended.append("ended")

    service = serve([("^/sleeps$", Sleeps)])
    peer = raw_caller(service.addr)
    peer.greet()

    peer.say(["call", 1, 100, "/sleeps"])

    assert peer.hear("response")[1:3] == [1, 504]
    eventually(lambda: ended, "the handler is ended", seconds=5)
    assert service.in_hand == 0


def test_a_caller_gives_the_service_the_time_it_has(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service()

    caller.ask(service.addr, timeout=5)

    (call,) = service.calls
    assert 4000 < call[2] <= 5000


def test_a_network_that_takes_its_time_is_not_taken_for_a_death_and_deadlines_hold(
    serve: Serve, caller: Caller
) -> None:
    service = serve()
    relay = Relay(service.addr)

    def take_time(data: bytes) -> bytes:
        gevent.sleep(random.uniform(0.2, 0.4))
        return data

    relay.meddle = take_time
    try:
        assert answers(caller, relay.addr)
        (session,) = caller.sessions(relay.addr)
        calls = [gevent.spawn(outcome_of, caller.ask, relay.addr) for _ in range(50)]
        begun = time.monotonic()
        assert isinstance(outcome_of(caller.ask, relay.addr, timeout=0.1), ServiceTimeout)
        assert time.monotonic() - begun < 1
        gevent.sleep(5)
        assert outcomes(calls) == [200] * 50
        assert caller.sessions(relay.addr) == [session], "its connection was given up"
    finally:
        relay.close()


# Refused


def test_past_its_limit_a_service_refuses_and_executes_nothing(
    serve: Serve, raw_caller: Callable[..., RawCaller]
) -> None:
    service = serve(max_in_flight=2)
    peer = raw_caller(service.addr)
    assert peer.greet()[3] == 2

    peer.say(*(["call", id_, 5000, "/echo", "request", {}, {"seconds": 0.3}] for id_ in (1, 2, 3)))

    assert peer.hear("refused") == ["refused", 3, "overloaded"]
    assert {peer.hear("response")[1], peer.hear("response")[1]} == {1, 2}
    peer.say(["call", 4, 5000, "/echo"])
    assert peer.hear("response")[1:3] == [4, 200]


def test_a_caller_knows_the_limit_and_does_not_ask_past_it(serve: Serve, caller: Caller) -> None:
    service = serve(max_in_flight=2)
    caller.ask(service.addr)
    calls = [
        gevent.spawn(outcome_of, caller.ask, service.addr, "/echo", {"seconds": 0.3})
        for _ in range(3)
    ]

    done = outcomes(calls)

    assert done[:2] == [200, 200]
    assert isinstance(done[2], ServiceRefused)
    assert caller.ask(service.addr)[0].status_code == 200


def test_a_refused_call_is_an_error_that_says_why(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(lambda call: [["refused", call[1], "overloaded"]])

    with pytest.raises(ServiceRefused, match="overloaded"):
        caller.ask(service.addr)

    assert len(service.calls) == 1


# A service that stops


def test_a_stopping_service_answers_what_it_has_in_hand_and_takes_no_more(
    serve: Serve, caller: Caller
) -> None:
    service = serve()
    caller.ask(service.addr)
    in_hand = [
        gevent.spawn(outcome_of, caller.ask, service.addr, "/echo", {"seconds": 0.5})
        for _ in range(50)
    ]
    eventually(lambda: service.in_hand == 50, "they are in hand", seconds=5)

    service.begin_to_stop()
    eventually(
        lambda: isinstance(outcome_of(caller.ask, service.addr), ServiceRefused),
        "calls are refused",
        seconds=5,
    )

    assert outcomes(in_hand) == [200] * 50
    assert service.connection.health() == "stopping"


def test_answers_given_in_a_service_s_last_moment_arrive(serve: Serve, caller: Caller) -> None:
    for _ in range(5):
        service = serve()
        caller.ask(service.addr)
        calls = [
            gevent.spawn(outcome_of, caller.ask, service.addr, "/echo", {"seconds": 0.4})
            for _ in range(20)
        ]
        eventually(lambda service=service: service.in_hand == 20, "they are in hand", seconds=5)  # type: ignore[misc]

        service.stop()

        assert outcomes(calls) == [200] * 20


def test_more_answers_than_zeromq_takes_at_a_service_s_end_arrive(
    serve: Serve, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_connection, "MAX_FRAMES_AHEAD", 1)
    monkeypatch.setattr(service_connection, "LAST_WORDS", 10.0)

    class Says(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            said.wait()
            self.add_to_payload("text", "a" * 150_000)
            return self.render(200)

    said = Event()
    service = serve([("^/says$", Says)])
    calls = [gevent.spawn(outcome_of, caller.ask, service.addr, "/says") for _ in range(100)]
    eventually(lambda: service.in_hand == 100, "they are in hand", seconds=5)

    service.begin_to_stop()
    said.set()
    service.wait_for_end(20)

    assert outcomes(calls) == [200] * 100


def test_a_service_ends_though_a_caller_it_has_something_to_say_to_has_gone(serve: Serve) -> None:
    service = serve()
    peers = [RawCaller(service.addr) for _ in range(3)]
    for peer in peers:
        peer.greet()
    peers[0].close()
    gevent.sleep(0.3)  # until libzmq has noticed

    for caller in service.connection._callers.values():
        caller.outbox.append(b'["pong",0]')
    service.connection.close()

    assert peers[2].hear("pong")
    for peer in peers[1:]:
        peer.close()


def test_no_call_is_lost_when_one_of_two_replicas_stops(serve: Serve, caller: Caller) -> None:
    stays, stops = serve(), serve()
    addr = [stays.addr, stops.addr]
    done: list[int | ServiceError] = []
    over = False

    def keep_calling() -> None:
        while not over:
            done.append(outcome_of(caller.ask, addr, "/echo", {"seconds": 0.005}))

    callers = [gevent.spawn(keep_calling) for _ in range(10)]
    eventually(lambda: stops.in_hand and stays.in_hand, "both have calls in hand", seconds=5)

    stops.stop()
    calls_before = len(done)
    eventually(lambda: len(done) > calls_before + 50, "the other one goes on", seconds=5)
    over = True
    gevent.joinall(callers, timeout=10)

    assert set(done) == {200}


def test_calls_sent_before_the_caller_knows_that_an_idle_replica_stops_are_not_lost(
    serve: Serve, caller: Caller
) -> None:
    stays, stops = serve(), serve()
    addr = [stays.addr, stops.addr]
    caller.wait_for_replicas(addr, 2)

    stops.begin_to_stop()
    calls = [gevent.spawn(outcome_of, caller.ask, addr) for _ in range(10)]

    assert outcomes(calls) == [200] * 10


def test_a_call_to_a_service_that_is_refused_while_it_stops_goes_to_another_replica(
    raw_service: StartRawService, caller: Caller
) -> None:
    stopping = raw_service(lambda call: [["refused", call[1], "stopping"]])
    good = raw_service()
    addr = [stopping.addr, good.addr]
    caller.ask(addr)
    caller.wait_for_replicas(addr, 2)

    for _ in range(4):
        assert answers(caller, addr)

    assert stopping.calls
    assert len(good.calls) == 5


def test_a_refused_call_goes_to_another_replica_however_busy_that_is(
    raw_service: StartRawService, caller: Caller
) -> None:
    full = raw_service(lambda call: [["refused", call[1], "overloaded"]])
    good = raw_service(lambda call: [] if call[3] == "/slow" else an_echo(call))
    addr = [full.addr, good.addr]
    caller.wait_for_replicas(addr, 2)
    slow = [gevent.spawn(outcome_of, caller.ask, addr, "/slow", timeout=1) for _ in range(3)]
    eventually(lambda: len(good.calls) == 3, "one of them is busier", seconds=5)

    assert answers(caller, addr)

    assert {type(outcome) for outcome in outcomes(slow)} == {ServiceTimeout}


# Tried again, or not


def test_a_lost_call_is_tried_again_on_another_replica_only_if_it_may_be_repeated(
    raw_service: StartRawService, caller: Caller
) -> None:
    goes = raw_service(lambda _: [["goodbye", "in the middle of a call"]])
    good = raw_service()

    def lost(idempotent: bool) -> int | ServiceError:
        addr = [goes.addr, good.addr]
        caller.wait_for_replicas(addr, 2)
        done = [outcome_of(caller.ask, addr, idempotent=idempotent) for _ in range(2)]
        return next((outcome for outcome in done if outcome != 200), 200)

    assert isinstance(lost(idempotent=False), ServiceLost)
    assert lost(idempotent=True) == 200
    assert len(goes.calls) == 2


# Nonsense, in short (see test_nonsense)


def test_a_lost_call_that_is_refused_when_it_is_tried_again_counts_as_lost(
    raw_service: StartRawService, caller: Caller
) -> None:
    goes = raw_service(lambda _: [["goodbye", "in the middle of a call"]])
    full = raw_service(lambda call: [["refused", call[1], "overloaded"]])
    addr = [goes.addr, full.addr]
    caller.wait_for_replicas(addr, 2)
    first = [session for session in caller.sessions(addr) if session.endpoint == goes.addr]
    caller.connection(addr).replicas.take(avoid=first)  # the other one is busier now

    error = outcome_of(caller.ask, addr, idempotent=True)

    assert (len(goes.calls), len(full.calls)) == (1, 1)
    assert isinstance(error, ServiceLost)


@pytest.mark.parametrize(
    "greeting", [["welcome", 2, "from the future", 100], ["goodbye", "no common version"]]
)
def test_a_service_of_another_version_is_a_protocol_error(
    raw_service: StartRawService, caller: Caller, greeting: Message
) -> None:
    service = raw_service(greeting=greeting)

    with gevent.Timeout(5), pytest.raises(ServiceProtocolError, match="version") as caught:
        caller.ask(service.addr, timeout=60)

    assert service.calls == []
    assert not caught.value.may_have_run


def test_a_service_that_has_all_the_callers_it_takes_refuses(
    raw_service: StartRawService, caller: Caller
) -> None:
    service = raw_service(greeting=["goodbye", "too many sessions", True])

    with gevent.Timeout(5), pytest.raises(ServiceRefused, match="too many sessions") as caught:
        caller.ask(service.addr, timeout=60)

    assert service.calls == []
    assert not caught.value.may_have_run


# Busy


@pytest.mark.parametrize(
    ("seconds", "busy"),
    [
        pytest.param(0.99, False, id="one ping without an answer"),
        pytest.param(1.98, True, id="two"),
    ],
)
def test_a_service_is_busy_two_seconds_after_it_was_heard_last(
    serve: Serve, caller: Caller, monkeypatch: pytest.MonkeyPatch, seconds: float, busy: bool
) -> None:
    service = serve()
    caller.ask(service.addr)
    (at_service,) = caller.sessions(service.addr)
    monkeypatch.setattr(at_service, "_heard", time.monotonic() - seconds)

    at_service._on_clock()

    assert at_service.busy == busy


def test_a_service_that_computes_in_a_thread_answers_others_and_never_looks_busy(
    serve_apart: ServeApart, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(session, "BUSY_AFTER", 1.0)
    addr, _ = serve_apart()
    caller.ask(addr)
    (at_service,) = caller.sessions(addr)

    computing = gevent.spawn(outcome_of, caller.ask, addr, "/compute", {"seconds": 2})
    answered = 0
    while not computing.ready():
        answered += answers(caller, addr)
        assert not at_service.busy
        gevent.sleep(0.05)

    assert computing.get() == 200
    assert answered > 3


def test_a_service_that_lets_nothing_else_run_looks_busy_and_keeps_its_call(
    serve_apart: ServeApart, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(session, "BUSY_AFTER", 0.5)
    busy, _ = serve_apart()
    caller.ask(busy)
    hogging = gevent.spawn(outcome_of, caller.ask, busy, "/hog", {"seconds": 2})
    (at_busy,) = caller.sessions(busy)

    eventually(lambda: at_busy.busy, "it looks busy", seconds=5)

    assert hogging.get(timeout=10) == 200
    eventually(lambda: not at_busy.busy, "it is well again", seconds=5)

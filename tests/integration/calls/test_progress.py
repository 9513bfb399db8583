"""A handler says how far it has come, and a caller that wants to know is told."""

import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue

from brubeckservice.base import (
    ServiceError,
    ServiceLost,
    ServiceMessageHandler,
    ServiceRefused,
    ServiceResponse,
)
from tests.integration.calls.instances import Caller, Service
from tests.integration.calls.raw_peers import Message, RawCaller, RawService, an_echo
from tests.waiting import eventually

Serve = Callable[..., Service]
StartRawService = Callable[..., RawService]
Told = list[tuple[float, str]]


class Steps(ServiceMessageHandler):
    """Comes to its end in ten steps, with a pause after each."""

    def request(self) -> ServiceResponse:
        for step in range(10):
            self.progress(step / 10, f"step {step}")
            self.pause(self.message.get_argument("pause", 0.1))
        return self.render(200)

    def pause(self, seconds: float) -> None:
        gevent.sleep(seconds)


class NativeSteps(Steps):
    """The same in a native thread, with a pause until its caller has been told the step."""

    cpu_bound = True

    told: Told
    steps = 0

    def pause(self, _: float) -> None:
        self.steps += 1
        enough = time.monotonic() + 5
        while len(self.told) < self.steps and time.monotonic() < enough:
            sum(range(1000))


class Chatterbox(ServiceMessageHandler):
    """Says more than anybody wants to hear."""

    cpu_bound = True

    def request(self) -> ServiceResponse:
        for number in range(100_000):
            self.progress(number / 100_000)
        return self.render(200)


class Beyond(ServiceMessageHandler):
    """Is further than the end."""

    def request(self) -> ServiceResponse:
        self.progress(1.1)
        return self.render(200)


class Says(ServiceMessageHandler):
    """Says what a test wants, and ends when its caller has been told."""

    note: Any
    was_told: Event

    def request(self) -> ServiceResponse:
        self.progress(0.5, self.note)
        self.was_told.wait(5)
        return self.render(200)


class WaitsUntilItIsEnded(ServiceMessageHandler):
    """Reports once, and never ends by itself."""

    ended: Queue[BaseException]

    def request(self) -> None:
        self.progress(0.5)
        try:
            gevent.sleep(60)
        except BaseException as error:
            self.ended.put(error)
            raise


ROUTES = [
    (r"^/steps$", Steps),
    (r"^/native$", NativeSteps),
    (r"^/chatterbox$", Chatterbox),
    (r"^/beyond$", Beyond),
    (r"^/says$", Says),
    (r"^/waits$", WaitsUntilItIsEnded),
]


@pytest.fixture
def service(serve: Serve) -> Service:
    return serve(ROUTES)


def follow(caller: Caller, service: Any, path: str, **arguments: Any) -> Told:
    """What a call tells of its progress until it is answered."""
    told: Told = []
    caller.ask(service.addr, path, arguments, on_progress=lambda *progress: told.append(progress))
    return told


@pytest.mark.parametrize("path", ["/steps", "/native"])
def test_a_caller_is_told_every_step_in_order(service: Service, caller: Caller, path: str) -> None:
    told = NativeSteps.told = []

    caller.ask(service.addr, path, on_progress=lambda *progress: told.append(progress))

    assert told == [(step / 10, f"step {step}") for step in range(10)]


def test_nobody_is_told_more_than_can_be_looked_at(service: Service, caller: Caller) -> None:
    began = time.monotonic()
    told = follow(caller, service, "/chatterbox")
    seconds = time.monotonic() - began

    assert told == sorted(told)
    assert len(told) <= 1 + seconds * 20


def test_a_caller_that_takes_its_time_is_told_the_newest_and_gets_its_answer(
    service: Service, caller: Caller
) -> None:
    told: Told = []

    def look_closely(*progress: Any) -> None:
        told.append(progress)
        gevent.sleep(0.5)

    response, _ = caller.ask(service.addr, "/steps", on_progress=look_closely)

    assert response.status_code == 200
    assert told == sorted(told)
    assert 2 <= len(told) <= 4


def test_two_calls_are_each_told_of_their_own_progress(service: Service, caller: Caller) -> None:
    slow = gevent.spawn(follow, caller, service, "/steps", pause=0.15)
    quick = gevent.spawn(follow, caller, service, "/steps", pause=0.1)

    steps = [(step / 10, f"step {step}") for step in range(10)]
    assert slow.get(timeout=10) == quick.get(timeout=10) == steps


def test_a_call_nobody_waits_for_is_told_of_its_progress_too(
    service: Service, caller: Caller
) -> None:
    told: Queue[float] = Queue()
    caller.register_service(service.addr, caller._passphrase)

    caller.send_service_request_nowait(
        service.addr,
        caller.create_service_request("/steps"),
        on_progress=lambda fraction, _: told.put(fraction),
    )

    assert [told.get(timeout=5) for _ in range(10)] == [step / 10 for step in range(10)]
    eventually(lambda: caller.waiting() == 0, "the call is over", seconds=5)


def test_a_caller_that_cannot_stand_the_news_ends_the_call(
    service: Service, caller: Caller
) -> None:
    WaitsUntilItIsEnded.ended = Queue()

    def fail(*_: Any) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        caller.ask(service.addr, "/waits", timeout=60, on_progress=fail)

    assert isinstance(WaitsUntilItIsEnded.ended.get(timeout=10), gevent.GreenletExit)


@pytest.mark.parametrize("callback", ["on_progress", "on_sent"])
@pytest.mark.parametrize("error", [ServiceRefused("by another service"), ServiceLost("there")])
def test_what_goes_wrong_for_a_caller_that_is_told_is_no_reason_to_call_again(
    serve: Serve, caller: Caller, callback: str, error: ServiceError
) -> None:
    WaitsUntilItIsEnded.ended = Queue()
    services = [serve(ROUTES), serve(ROUTES)]
    addr = [service.addr for service in services]
    caller.wait_for_replicas(addr, 2)
    told = []

    def fail(*what: Any) -> None:
        told.append(what)
        raise error

    options: dict[str, Any] = {callback: fail, "idempotent": True}
    with gevent.Timeout(5), pytest.raises(type(error)) as raised:
        caller.ask(addr, "/waits", timeout=60, **options)

    assert raised.value is error
    assert len(told) == 1
    eventually(lambda: not any(s.in_hand for s in services), "it was cancelled", seconds=5)


def test_progress_beyond_the_end_is_a_mistake_of_the_handler(
    service: Service, caller: Caller
) -> None:
    assert caller.ask(service.addr, "/beyond")[0].status_code == 500


@pytest.mark.parametrize(
    ("note", "text"),
    [(os.fsdecode(b"b\xff.txt"), "b?.txt"), (["step", 1], "['step', 1]"), (None, "None")],
    ids=["half a character", "a list", "nothing"],
)
def test_a_note_that_is_no_text_of_json_is_told_as_one(
    service: Service, caller: Caller, note: Any, text: str
) -> None:
    Says.note, Says.was_told = note, Event()
    told: Told = []

    def hear(*progress: Any) -> None:
        told.append(progress)
        Says.was_told.set()

    response, _ = caller.ask(service.addr, "/says", on_progress=hear)

    assert (response.status_code, told) == (200, [(0.5, text)])


def test_a_caller_that_did_not_ask_hears_nothing_of_it(
    service: Service, raw_caller: Callable[..., RawCaller]
) -> None:
    peer = raw_caller(service.addr)
    peer.greet()
    peer.say(["call", 1, 5000, "/steps", "request", {}, {"pause": 0.05}])
    eventually(lambda: service.in_hand == 1, "it is under way", seconds=5)
    eventually(lambda: service.in_hand == 0, "it is answered", seconds=5)
    peer.say(["ping", 1])  # whatever is said of the call comes before the pong
    heard: list[Message] = []

    def has_heard_the_pong() -> bool:
        heard.extend(peer.heard_so_far())
        return any(message[:2] == ["pong", 1] for message in heard)

    eventually(has_heard_the_pong, "the pong", seconds=5)
    assert [kind for kind, *_ in heard if kind != "pong"] == ["response"]


def test_what_is_no_progress_of_a_call_in_hand_changes_nothing(
    raw_service: StartRawService, caller: Caller
) -> None:
    def answer(call: Message) -> list[Message]:
        id_ = call[1]
        return [
            ["progress", id_ + 1, 0.1, "another call's"],
            ["progress", id_, 2, "beyond the end"],
            ["progress", id_, 0.5],
            *an_echo(call),
            ["progress", id_, 0.9, "after the answer"],
        ]

    service = raw_service(answer)
    told: Told = []

    response, _ = caller.ask(
        service.addr, "/echo", {"a": 1}, on_progress=lambda *progress: told.append(progress)
    )

    assert response.body == {"a": 1}
    assert told in ([], [(0.5, "")])
    connection = caller.connection(service.addr)
    eventually(lambda: connection.dropped == 2, "both are dropped", seconds=5)

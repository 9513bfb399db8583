"""The two ends of a call count its time by clocks of their own, whose ticks differ."""

import time
from collections.abc import Callable

import gevent

from brubeck.deadlines import TICK
from brubeckservice.base import ServiceMessageHandler, ServiceResponse
from tests.integration.calls.instances import Service
from tests.integration.calls.raw_peers import RawCaller


def test_a_service_gives_up_after_the_slowest_clock_of_a_caller_would_have(
    serve: Callable[..., Service], raw_caller: Callable[..., RawCaller]
) -> None:
    # Otherwise the caller would get a response that says 504, and not its own ServiceTimeout.
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()
    budget = 0.2

    sent = time.monotonic()
    peer.say(["call", 1, int(budget * 1000), "/echo", "request", {}, {"seconds": 60}])
    answer = peer.hear("response")

    assert answer[1:3] == [1, 504]
    assert time.monotonic() - sent > budget + 2 * TICK


def test_a_call_that_waited_past_its_time_to_be_read_is_refused_and_not_begun(
    serve: Callable[..., Service], raw_caller: Callable[..., RawCaller]
) -> None:
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()
    gevent.sleep(0.5)

    peer.say(["call", 1, 300, "/echo", "request", {}, {}, "", "", 100])
    assert peer.hear("refused") == ["refused", 1, "late"]

    peer.say(["call", 2, 300, "/echo", "request", {}, {}, "", "", 500])
    assert peer.hear("response")[1:3] == [2, 200]


def test_a_handler_sees_the_time_that_waiting_has_left(
    serve: Callable[..., Service], raw_caller: Callable[..., RawCaller]
) -> None:
    class SecondsLeft(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.add_to_payload("left", self.seconds_left)
            return self.render(200)

    service = serve([("^/left$", SecondsLeft)])
    peer = raw_caller(service.addr)
    peer.greet()
    gevent.sleep(0.5)

    peer.say(["call", 1, 10_000, "/left", "request", {}, {}, "", "", 1])

    assert 9 < peer.hear("response")[7]["left"] < 9.75


def test_pings_tell_how_the_clocks_differ(
    serve: Callable[..., Service], raw_caller: Callable[..., RawCaller]
) -> None:
    service = serve()
    peer = raw_caller(service.addr)
    peer.greet()

    peer.say(["ping", 1, 60_000])
    peer.say(["call", 1, 30_000, "/echo", "request", {}, {}, "", "", 1])

    assert peer.hear("refused") == ["refused", 1, "late"]

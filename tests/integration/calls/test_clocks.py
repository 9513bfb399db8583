"""The two ends of a call count its time by clocks of their own, whose ticks differ."""

import time
from collections.abc import Callable

from brubeck.deadlines import TICK
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

"""Pages stay fast while services compute for the same client apps."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.chaos import faults
from tests.chaos.system import System
from tests.needs import need
from tests.waiting import eventually

PAGES = 300
COMPUTING = 4
ATTEMPTS = 3
"""Measurements beside computing services: something else may disturb one of them."""


def test_the_front_page_is_as_fast_while_the_services_compute(system: System) -> None:
    need((os.cpu_count() or 1) > 1, "a second processor")
    with _each_on_its_own_processor(system), ThreadPoolExecutor() as browsers:
        idle = _slowest_but_one_percent(system)
        computing = [browsers.submit(_compute, system) for _ in range(COMPUTING)]
        eventually(lambda: system.calls_in_hand() == COMPUTING, "they compute", seconds=5)
        limit = 2 * idle + 0.02
        busy: list[float] = []
        while not busy or (min(busy) > limit and len(busy) < ATTEMPTS):
            busy.append(_slowest_but_one_percent(system))
            assert not any(call.done() for call in computing), f"they were done too early: {busy}"
        outcomes = [call.result() for call in computing]

    assert outcomes == ["answered"] * COMPUTING
    assert min(busy) <= limit


def _compute(system: System) -> str:
    return system.call(compute=1, seconds=12, timeout=25).outcome  # a page may take 15 s


def _slowest_but_one_percent(system: System) -> float:
    seconds = sorted(system.ask("/").seconds for _ in range(PAGES))
    return seconds[PAGES * 99 // 100]


@contextmanager
def _each_on_its_own_processor(system: System) -> Iterator[None]:
    """The services on one, everything else, these browsers too, on the other."""
    services = system.containers("slow-service")
    others = system.containers("mongrel2") + system.containers("client-app")
    ours = os.sched_getaffinity(0)
    with faults.pinned(1, *services), faults.pinned(0, *others):
        os.sched_setaffinity(0, {0})
        try:
            yield
        finally:
            os.sched_setaffinity(0, ours)

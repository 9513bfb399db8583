"""Mongrel2 that is restarted and crashes, and all parts in any order."""

import time
from itertools import permutations

import pytest

from tests.chaos import faults
from tests.chaos.load import outcomes
from tests.chaos.system import System
from tests.e2e.deployment import docker
from tests.waiting import eventually


def test_after_a_restart_of_mongrel2_the_first_call_is_answered_and_each_with_its_own_answer(
    system: System,
) -> None:
    (mongrel2,) = system.containers("mongrel2")
    with system.load(rate=30, seconds=1.5) as load:
        for number in range(4):
            time.sleep(1.7)
            if number % 2:
                faults.kill(mongrel2)
            else:
                docker("restart", "--time", "5", mongrel2.id)
            eventually(system.listens, "Mongrel2 listens", seconds=10)
            first = system.call()
            assert first.outcome == "answered"
            assert first.seconds < 3 + 1
        (restarted,) = system.containers("mongrel2")
        time.sleep(1)
        assert system.containers("mongrel2")[0].started == restarted.started, "it crashes again"

    counts = outcomes(load.entries)
    assert counts.keys() == {"answered", "cut"}
    assert counts["cut"] >= 4 * 20, "calls were in hand at each restart"
    assert system.disagreements(load.entries) == []


@pytest.mark.parametrize(
    "order", list(permutations(["mongrel2", "client-app", "slow-service"])), ids=" ".join
)
def test_the_parts_start_in_any_order(system: System, order: tuple[str, ...]) -> None:
    containers = system.containers()
    docker("kill", *(container.id for container in containers))
    assert system.containers() == []

    for part in order:  # not by Compose, which would start what a part depends on first
        docker("start", *(c.id for c in containers if c.service == part))
    system.wait_until_all_work(seconds=10)
    assert system.call().outcome == "answered"

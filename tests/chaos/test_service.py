"""Services that crash, freeze, are cut off, move, come and go: what callers are told."""

import os
import time
from signal import SIGTERM

import pytest

from tests.chaos import faults
from tests.chaos.faults import Beginning, Direction
from tests.chaos.ledger import Entry
from tests.chaos.load import issued_between, outcomes
from tests.chaos.system import System
from tests.e2e.deployment import docker
from tests.waiting import eventually

TIMEOUT = 5.0
"""Seconds that a call has."""

NOTICED = 3.5
"""Seconds from the moment a service falls silent until nobody gives it calls: 3, and a tick."""


def test_calls_in_hand_at_a_service_that_crashes_end_within_a_second_and_it_comes_back(
    system: System,
) -> None:
    victim, _ = system.containers("slow-service")
    with system.load(seconds=1.0, idempotent_every=2) as load:
        eventually(lambda: system.executed_by(victim, since=0), "work in hand", seconds=10)
        time.sleep(1)
        killed = faults.kill(victim)
        eventually(
            lambda: system.executed_by(victim, since=killed), "it has work again", seconds=15
        )

    lost = [entry for entry in load.entries if entry.outcome == "ServiceLost"]
    assert lost
    assert not any(entry.idempotent for entry in lost), "those are tried again"
    assert all(killed - 0.1 < entry.ended < killed + 1.5 for entry in lost)
    assert outcomes(load.entries).keys() == {"answered", "ServiceLost"}
    assert system.disagreements(load.entries) == []


def test_a_frozen_service_gets_no_calls_after_three_seconds_and_some_again_after_it_thaws(
    system: System,
) -> None:
    victim, _ = system.containers("slow-service")
    with system.load() as load:
        system.wait_until_calls_are_answered(seconds=5)
        with faults.frozen(victim) as froze:
            time.sleep(7)
        thawed = time.time()
        eventually(lambda: system.executed_by(victim, since=thawed), "it has work", seconds=4)
        time.sleep(1)

    _assert_only_the_first_seconds_hurt(system, load.entries, froze, thawed)
    late = [entry for entry in load.entries if froze.latest < entry.issued < thawed - TIMEOUT - 0.1]
    executed = {e.id for e in system.executions(late) if e.began >= thawed}
    assert late
    assert not executed, "calls were executed whose time was over"


@pytest.mark.parametrize("directions", [("to", "from"), ("to",), ("from",)], ids=" and ".join)
def test_a_service_that_is_cut_off_gets_no_calls_after_three_seconds_and_some_again_when_it_is_back(
    system: System, directions: tuple[Direction, ...]
) -> None:
    victim, _ = system.containers("slow-service")
    with system.load() as load:
        system.wait_until_calls_are_answered(seconds=5)
        with faults.cut(victim, *directions) as cut:
            time.sleep(5)
        healed = time.time()
        eventually(lambda: system.executed_by(victim, since=healed), "it has work", seconds=5)
        time.sleep(1)

    _assert_only_the_first_seconds_hurt(system, load.entries, cut, healed)


def _assert_only_the_first_seconds_hurt(
    system: System, entries: list[Entry], start: Beginning, end: float
) -> None:
    hurt = [entry for entry in entries if entry.outcome != "answered"]
    assert hurt, "no call was in hand there"
    assert {entry.outcome for entry in hurt} <= {"ServiceLost", "ServiceTimeout"}
    first, last = start.earliest - 1, start.latest + NOTICED
    assert all(first < entry.issued < last for entry in hurt), hurt
    assert all(entry.seconds < NOTICED + 1.5 for entry in hurt), hurt
    assert issued_between(entries, last, end)
    assert system.disagreements(entries) == []


def test_calls_whose_connection_is_reset_are_lost_at_once_and_the_next_ones_are_not(
    system: System,
) -> None:
    victim, _ = system.containers("slow-service")
    with system.load(seconds=1.0) as load:
        time.sleep(1)  # some ten calls are then in hand at each service
        reset = faults.reset_connections(victim)
        back = time.time()
        eventually(lambda: system.executed_by(victim, since=back), "it has work", seconds=5)

    hurt = [entry for entry in load.entries if entry.outcome != "answered"]
    assert hurt
    assert {entry.outcome for entry in hurt} == {"ServiceLost"}
    assert all(entry.ended < reset + 2.5 for entry in hurt)
    assert system.disagreements(load.entries) == []


def test_a_lost_tenth_of_the_packets_is_not_taken_for_a_death(system: System) -> None:
    victim, _ = system.containers("slow-service")
    with system.load() as load:
        system.wait_until_calls_are_answered(seconds=5)
        with faults.losing(victim, 0.1):
            time.sleep(5)

    assert outcomes(load.entries).keys() == {"answered"}
    assert system.disagreements(load.entries) == []


def test_a_slow_link_is_not_taken_for_a_death(system: System) -> None:
    victim, _ = system.containers("slow-service")
    with faults.slow_link(victim, "256kbit"), system.load(rate=10) as load:
        time.sleep(5)

    assert outcomes(load.entries).keys() == {"answered"}
    assert system.disagreements(load.entries) == []


def test_a_service_at_another_address_is_used_within_seconds(system: System) -> None:
    mover, _ = system.containers("slow-service")
    with system.load() as load:
        system.wait_until_calls_are_answered(seconds=5)
        before, after = faults.give_another_address(mover, system.back, absent=4)
        back = time.time()
        eventually(lambda: system.executed_by(mover, since=back), "it has work", seconds=4)

    assert before != after
    assert outcomes(load.entries).keys() <= {"answered", "ServiceLost"}
    assert system.disagreements(load.entries) == []


def test_a_name_service_that_falls_silent_stalls_nothing(system: System) -> None:
    with system.load() as load:
        system.wait_until_calls_are_answered(seconds=5)
        one, other = system.containers("client-app")
        with faults.without_name_service(one), faults.without_name_service(other):
            time.sleep(6)

    assert outcomes(load.entries).keys() == {"answered"}
    assert max(entry.seconds for entry in load.entries) < 1.5


def test_a_rolling_restart_of_the_service_loses_no_call_and_executes_none_twice(
    system: System,
) -> None:
    with system.load(rate=30, seconds=0.3) as load:
        for _ in range(2):
            old = system.containers("slow-service")
            system.scale(slow_service=4)
            statuses = [faults.stop_and_remove(container) for container in old]
            assert statuses == [0, 0]

    assert outcomes(load.entries).keys() == {"answered"}
    assert len(system.executions(load.entries)) == len(load.entries)


def test_scaling_the_service_up_and_down_loses_no_call(system: System) -> None:
    with system.load(rate=30, seconds=0.3) as load:
        system.scale(slow_service=1)
        system.scale(slow_service=4)
        grown = time.time()
        four = system.containers("slow-service")
        assert len(four) == 4
        for container in four:
            eventually(
                lambda container=container: system.executed_by(container, since=grown),  # type: ignore[misc]
                "each of the four has work",
                seconds=4,
            )
        system.scale(slow_service=1)

    assert len(system.containers("slow-service")) == 1
    assert outcomes(load.entries).keys() == {"answered"}
    assert len(system.executions(load.entries)) == len(load.entries)


def test_a_service_that_is_told_to_stop_while_it_starts_stops(system: System) -> None:
    victim, _ = system.containers("slow-service")
    for delay in (0.05, 0.2, 0.4, 0.6):
        docker("restart", victim.id)
        time.sleep(delay)
        docker("stop", "--time", "10", victim.id)
        assert faults.exit_status(victim) in (0, 128 + SIGTERM)


def test_a_service_that_is_told_to_stop_while_it_is_frozen_stops_when_it_goes_on(
    system: System,
) -> None:
    victim, _ = system.containers("slow-service")
    with system.load(seconds=1.0) as load:
        eventually(lambda: system.executed_by(victim, since=0), "work in hand", seconds=10)
        with faults.frozen(victim):
            os.kill(faults.pid(victim), SIGTERM)
            time.sleep(1)
        eventually(lambda: faults.restarts(victim) == 1, "it stops", seconds=10)

    assert outcomes(load.entries).keys() == {"answered"}
    assert system.disagreements(load.entries) == []


def test_without_any_service_calls_are_refused_at_once_quietly_and_without_growth(
    system: System,
) -> None:
    victims = [container.id for container in system.containers("slow-service")]
    docker("kill", *victims)
    assert system.containers("slow-service") == []
    eventually(lambda: system.call().outcome == "ServiceUnavailable", "it is known", seconds=10)
    lines_before = len(system.log("client-app").splitlines())
    before = system.states()
    started = time.time()
    with system.load() as load:
        time.sleep(12)

    assert outcomes(load.entries).keys() == {"ServiceUnavailable"}
    usual = sorted(entry.seconds for entry in load.entries)[len(load.entries) // 2]
    assert usual < 0.1
    about_calls = 3 * len(load.entries)
    lines = len(system.log("client-app").splitlines()) - lines_before
    assert lines < about_calls + 10 * (time.time() - started)
    for host, state in system.states().items():
        assert state["resident"] - before[host]["resident"] < 5_000_000
        assert state["descriptors"] < before[host]["descriptors"] + 10
        assert state["calls"] == 0

    docker("start", *victims)
    system.wait_until_calls_are_answered(seconds=10)


def test_too_many_calls_are_refused_early_and_those_that_are_taken_are_answered(
    system: System,
) -> None:
    capacity = 20  # calls a second: ten at a time, half a second each
    system.up("--no-deps", "--scale", "slow-service=1", "slow-service", SERVICE_MAX_IN_FLIGHT="10")
    system.wait_until_ready()
    with system.load(rate=3 * capacity, seconds=0.5) as load:
        time.sleep(8)

    entries = load.entries
    span = entries[-1].issued - entries[0].issued
    counts = outcomes(entries)
    refused = sorted(entry.seconds for entry in entries if entry.outcome == "ServiceRefused")
    assert counts.keys() == {"answered", "ServiceRefused"}
    assert counts["answered"] >= 0.8 * capacity * span
    assert refused[len(refused) // 2] < 0.1
    assert system.disagreements(entries) == []
    over = time.time()
    with system.load(rate=capacity / 2, seconds=0.1) as later:
        time.sleep(3)
    assert outcomes(issued_between(later.entries, over + 1, over + 9)).keys() == {"answered"}

"""Client apps that crash, freeze and are restarted: what browsers are told."""

import time
from contextlib import ExitStack
from http.client import HTTPException

import pytest

from tests.chaos import faults
from tests.chaos.load import issued_between, outcomes
from tests.chaos.system import System
from tests.e2e.deployment import docker
from tests.http import connection
from tests.waiting import eventually

TOLD = 10.0
"""Seconds until the last browser of a client app that has gone is told so: after three, Mongrel2
tells half of those that are left in each second, and there are some thirty of them."""

ENDED = "was ended: too late, or nobody waits"
"""What is logged of such a handler."""


def test_a_rolling_restart_of_the_client_app_loses_no_request(system: System) -> None:
    with system.load(rate=30, seconds=0.3) as load:
        for _ in range(2):
            old = system.containers("client-app")
            system.scale(client_app=4)
            assert [faults.stop_and_remove(container) for container in old] == [0, 0]

    assert outcomes(load.entries).keys() == {"answered"}
    assert len(system.executions(load.entries)) == len(load.entries)


def test_browsers_of_a_client_app_that_crashes_are_told_and_the_others_notice_nothing(
    system: System,
) -> None:
    victim, _ = system.containers("client-app")
    with system.load(seconds=1.0) as load:
        time.sleep(2)
        killed = faults.kill(victim)
        time.sleep(5)

    hurt = [entry for entry in load.entries if entry.outcome != "answered"]
    assert hurt
    assert {entry.outcome for entry in hurt} == {"cut"}
    assert all(entry.issued < killed + 0.5 for entry in hurt)
    assert all(entry.ended < killed + TOLD for entry in hurt)
    assert system.disagreements(load.entries) == []


def test_a_browser_that_has_sent_and_read_much_before_is_told_as_well(system: System) -> None:
    with connection(system.port) as browser:
        for _ in range(8):
            browser.request("GET", "/static/style.css", headers={"Cookie": "a" * 300})
            assert browser.getresponse().read()
        browser.request("GET", f"/call?id=much-{time.time()}&seconds=20&timeout=25")
        eventually(lambda: system.calls_in_hand() == 1, "the call is in hand", seconds=5)

        killed = [faults.kill(victim) for victim in system.containers("client-app")]
        with pytest.raises((ConnectionError, HTTPException)):
            browser.getresponse()

    assert time.time() < killed[-1] + TOLD


def test_browsers_of_a_client_app_that_freezes_are_told_and_new_requests_go_to_the_other(
    system: System,
) -> None:
    victim, _ = system.containers("client-app")
    with system.load(seconds=0.5) as load:
        time.sleep(1)
        with faults.frozen(victim) as froze:
            time.sleep(4 + TOLD)  # the last of its browsers is told too: thawed, it would answer
        thawed = time.time()
        time.sleep(3)

    hurt = [entry for entry in load.entries if entry.outcome != "answered"]
    assert hurt
    assert {entry.outcome for entry in hurt} == {"cut"}
    assert all(entry.issued < froze.latest + 4 for entry in hurt), (
        "Mongrel2 gave it requests too long"
    )
    assert all(entry.ended < max(entry.issued, froze.latest) + TOLD for entry in hurt), hurt
    assert issued_between(load.entries, froze.latest + 4, thawed)
    assert system.disagreements(load.entries) == []


def test_the_calls_of_browsers_that_went_away_are_ended_within_seconds(system: System) -> None:
    with ExitStack() as browsers:
        for number in range(8):
            browser = browsers.enter_context(connection(system.port))
            browser.request("GET", f"/call?id=left-{number}-{time.time()}&seconds=20&timeout=25")
        eventually(lambda: system.calls_in_hand() == 8, "the calls are in hand", seconds=5)
        calls = [state["calls"] for state in system.states().values()]
        assert all(calls), "a client app has none"
        ended_before = system.log("slow-service").count(ENDED)

    eventually(
        lambda: system.log("slow-service").count(ENDED) == ended_before + 8,
        "the handlers are ended",
        seconds=4,
    )
    assert system.calls_in_hand() == 0


def test_without_any_client_app_browsers_are_told_and_the_next_one_serves_at_once(
    system: System,
) -> None:
    victims = [container.id for container in system.containers("client-app")]
    docker("kill", *victims)
    assert system.containers("client-app") == []
    with system.load() as load:
        time.sleep(7)
        docker("start", *victims)
        eventually(
            lambda: any(entry.outcome == "answered" for entry in load.entries),
            "a call is answered",
            seconds=10,
        )

    assert outcomes(load.entries).keys() == {"answered", "cut"}
    assert all(entry.seconds < TOLD for entry in load.entries), load.entries
    assert system.disagreements(load.entries) == []

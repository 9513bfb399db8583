"""Containers at their limits: memory, open files, processes."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.chaos import faults
from tests.chaos.load import outcomes
from tests.chaos.system import System
from tests.waiting import eventually

OPEN_FILES = 64

ALMOST_A_MEBIBYTE = 1_000_000


def test_a_service_that_needs_too_much_memory_is_ended_and_its_callers_are_told(
    system: System,
) -> None:
    system.limit("slow-service", "mem_limit: 64m, memswap_limit: 64m")
    (victim,) = system.containers("slow-service")
    with ThreadPoolExecutor(100) as browsers:
        calls = [
            browsers.submit(system.call, bytes=ALMOST_A_MEBIBYTE, seconds=4, timeout=10)
            for _ in range(100)
        ]
        entries = [call.result() for call in calls]

    assert faults.restarts(victim) > 0, "it had enough"
    assert outcomes(entries).keys() <= {"answered", "ServiceLost", "ServiceUnavailable"}
    assert system.disagreements(entries) == []
    system.wait_until_all_work(seconds=15)


def test_a_service_without_a_file_left_serves_its_callers_and_takes_others_later(
    system: System,
) -> None:
    system.limit("slow-service", f"ulimits: {{nofile: {OPEN_FILES}}}")
    (full,) = system.containers("slow-service")
    caller, _ = system.containers("client-app")
    with system.load() as load, faults.flooded_by(caller, 2 * OPEN_FILES):
        assert faults.open_files(full) == OPEN_FILES, "it has a file left"
        time.sleep(3)

    assert outcomes(load.entries).keys() == {"answered"}
    eventually(lambda: faults.open_files(full) < OPEN_FILES, "the flood is gone", seconds=10)
    system.scale(client_app=3)
    system.wait_until_all_work(seconds=15)


def test_a_service_that_may_not_have_its_threads_says_so(system: System) -> None:
    system.limit("slow-service", "pids_limit: 3", wait=False)

    eventually(
        lambda: "Resource temporarily unavailable" in system.all_logs(),
        "it says why it cannot start",
        seconds=15,
    )
    assert system.call().outcome == "ServiceUnavailable"

"""A process whose event loop stands still ends; one that was merely stopped goes on."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.http import ask
from tests.integration.programs import Program
from tests.ports import free_port, listens
from tests.waiting import eventually

SECONDS = 2

PROGRAM = """\
import os
from brubeck.connections import WSGIConnection
from brubeck.request_handling import Brubeck, render

app = Brubeck(
    msg_conn=WSGIConnection(int(os.environ["PORT"]), "127.0.0.1"),
    health_port=0,
    watchdog_timeout=float(os.environ["WATCHDOG_TIMEOUT"]),
)

@app.add_route("^/well$")
def well(application, message):
    return render("well", 200, "OK", {})

@app.add_route("^/hog$")
def hog(application, message):
    while True:
        sum(range(1000))

app.run()
"""


class WatchedProgram:
    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port

    def is_well(self) -> bool:
        return self.program.runs and ask(self.port, "/well", timeout=5).text == "well"

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """While one of its handlers computes for ever."""
        browser = threading.Thread(target=ask, args=(self.port, "/hog"))
        browser.start()
        yield
        self.program.kill()
        browser.join(10)


def stays_so(condition: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.05)


@pytest.fixture
def start(start_python: Callable[..., Program], tmp_path: Path) -> Callable[[int], WatchedProgram]:
    def start(timeout: int) -> WatchedProgram:
        path, port = tmp_path / "watched.py", free_port()
        path.write_text(PROGRAM)
        program = start_python(path, PORT=str(port), WATCHDOG_TIMEOUT=str(timeout))
        program.wait_until(lambda: listens(port), "it listens")
        return WatchedProgram(program, port)

    return start


def test_a_process_whose_event_loop_stands_still_says_where_and_ends_with_70(
    start: Callable[[int], WatchedProgram],
) -> None:
    watched = start(SECONDS)
    with watched.standing_still():
        eventually(lambda: not watched.program.runs, "its end", seconds=SECONDS + 10)

        assert watched.program.stop() == 70
        assert f"has stood still for {SECONDS} s" in watched.program.said
        assert "in hog" in watched.program.said


def test_a_process_that_was_stopped_for_longer_goes_on_when_it_may(
    start: Callable[[int], WatchedProgram],
) -> None:
    watched = start(SECONDS)
    os.kill(watched.program.pid, signal.SIGSTOP)
    stays_so(lambda: watched.program.runs, seconds=2 * SECONDS + 2)
    os.kill(watched.program.pid, signal.SIGCONT)

    stays_so(watched.is_well, seconds=SECONDS + 2)


def test_without_a_timeout_nobody_looks(start: Callable[[int], WatchedProgram]) -> None:
    watched = start(0)
    with watched.standing_still():
        stays_so(lambda: watched.program.runs, seconds=SECONDS + 2)

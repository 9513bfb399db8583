"""`scripts/up --local`: the demonstration on this machine, until it is interrupted."""

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http import ask
from tests.integration.programs import Program
from tests.integration.real_mongrel2 import need_mongrel2
from tests.needs import ROOT, need, program
from tests.ports import free_port
from tests.waiting import eventually

LOCK = "requirements-dev.txt"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The folder where the demonstration keeps what it keeps; in the end nobody may use it."""
    folder = tmp_path / "state"
    yield folder
    left_behind = processes_that_use(folder)
    for pid in left_behind:
        os.kill(pid, signal.SIGKILL)
    assert left_behind == {}


@pytest.fixture
def demo(tmp_path: Path, state: Path) -> Callable[..., Program]:
    """Makes the demonstration, at a port and with further settings."""
    need(program("curl"), "curl")
    same = (ROOT / ".venv" / LOCK).read_bytes() == (ROOT / LOCK).read_bytes()
    assert same, "run scripts/venv: the demonstration would make .venv anew under this test"

    def make(port: int, **settings: str) -> Program:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LOCAL_STATE": str(state),
            "PORT": str(port),
            "SLOW_SECONDS": "0.1",
        }
        # Where SIGINT is ignored, as in background jobs, a shell could not trap it.
        command = ["env", "--default-signal=INT", "scripts/up", "--local"]
        return Program(command, ROOT, tmp_path / "demo.log", environment | settings)

    return make


def processes_that_use(state: Path) -> dict[int, str]:
    """The processes that were started with this folder: their ids and command lines."""
    setting = f"LOCAL_STATE={state}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if setting in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.mark.parametrize(
    ("settings", "server"),
    [({}, "Mongrel2"), ({"WSGI": "1"}, "its own web server")],
    ids=["Mongrel2", "WSGI"],
)
def test_the_demonstration_runs_until_it_is_interrupted(
    demo: Callable[..., Program], state: Path, settings: dict[str, str], server: str
) -> None:
    if server == "Mongrel2":
        need_mongrel2()
    port = free_port()
    with demo(port, **settings) as running:
        # Given
        running.wait_until_it_says("Ctrl-C ends it", seconds=30)
        assert f"behind {server}" in running.said
        assert len(processes_that_use(state)) >= 3
        # Then it is all there
        assert "Slow work, done elsewhere" in ask(port, "/").text
        assert ask(port, "/service/sync").status == 200
        assert ask(port, "/service/async").status == 200
        assert ask(port, "/static/style.css").headers["Content-Type"].startswith("text/css")
        for secret in ("service_passphrase", "cookie_secret"):
            assert stat.S_IMODE((state / secret).stat().st_mode) == 0o600
        # When
        os.kill(running.pid, signal.SIGINT)
        # Then it is all gone
        eventually(lambda: not running.runs, "the demonstration ends", seconds=30)
        assert running.stop() == 128 + signal.SIGINT
    assert processes_that_use(state) == {}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("settings", [{}, {"WSGI": "1"}], ids=["Mongrel2", "WSGI"])
def test_a_port_that_is_taken_is_told_at_once(
    demo: Callable[..., Program], settings: dict[str, str]
) -> None:
    if not settings:
        need_mongrel2()
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with demo(port, **settings) as running:
            eventually(lambda: not running.runs, "the demonstration gives up", seconds=30)
            assert running.stop() == 1
            assert f"is port {port} free?" in running.said

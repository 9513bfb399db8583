"""The processes of one measurement: started, waited for, and ended whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.ports import free_port, listens

ROOT = Path(__file__).parents[2]
START_LIMIT = 20.0

# The images' settings (slow-service/Dockerfile); every system's processes get them.
ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_TOP_PAD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class MeasureFailedError(Exception):
    """A system could not do what was asked of it; the text says why."""


class Process:
    """A process in a session of its own, its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        home: Path = ROOT,
    ) -> None:
        self.output = folder / f"{uuid.uuid4().hex[:8]}.log"
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=home,
                env=os.environ | ENVIRONMENT | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """The end of its output."""
        return self.output.read_text(errors="replace")[-2000:]

    def memory(self) -> int:
        """Bytes it and its children hold."""
        return sum(_memory(process, "VmRSS") for process in self._family())

    def memory_peak(self) -> int:
        """Bytes it and its children held at most, since `forget_memory_peak`."""
        return sum(_memory(process, "VmHWM") for process in self._family())

    def cpu(self) -> float:
        """Seconds that processors have worked for it and its children."""
        return sum(map(_cpu, self._family()))

    def forget_memory_peak(self) -> None:
        """Begin anew with the peak."""
        for process in self._family():
            with contextlib.suppress(OSError):
                Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")

    def _family(self) -> list[int]:
        mother = self._process.pid
        children = ""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{mother}/task/{mother}/children").read_text(encoding="ascii")
        return [mother, *map(int, children.split())]

    def wait_until_it_listens(self, port: int) -> None:
        """Return when somebody listens on `port`."""
        deadline = time.monotonic() + START_LIMIT
        while not listens(port):
            if self._process.poll() is not None:
                raise MeasureFailedError(f"ended at its start: {self.said}")
            if time.monotonic() > deadline:
                raise MeasureFailedError(f"did not start in {START_LIMIT:g} s: {self.said}")
            time.sleep(0.02)

    def wait_until_it_ends(self, limit: float) -> str:
        """Its whole output."""
        try:
            status = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise MeasureFailedError(f"took more than {limit:g} s") from None
        if status != 0:
            raise MeasureFailedError(f"ended with {status}: {self.said}")
        return self.output.read_text(errors="replace")

    def end(self) -> None:
        """End it and all that it started; nothing here is worth a farewell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self.output.unlink(missing_ok=True)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    home: Path = ROOT,
) -> Iterator[Process]:
    """A process that runs in a `with` block, and listens on `port` when that begins."""
    process = Process(command, folder, environment, home)
    try:
        if port is not None:
            process.wait_until_it_listens(port)
        yield process
    finally:
        process.end()


def module(python: str, name: str, *arguments: str) -> list[str]:
    """The command that runs a program of ours."""
    return [python, "-m", f"tests.bench.programs.{name}", *arguments]


def new_ports(number: int) -> list[int]:
    """Ports of this machine that nobody listens on, no two the same."""
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return list(ports)


def address_of(port: int) -> str:
    """The ZeroMQ address of a port of this machine."""
    return f"tcp://127.0.0.1:{port}"


OUR_PYTHON = sys.executable
PEERS_PYTHON = str(ROOT / ".bench-venv" / "bin" / "python")


def _cpu(process: int) -> float:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")  # proc(5)
    return 0.0


def _memory(process: int, kind: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(kind):
                return int(line.split()[1]) * 1024
    return 0

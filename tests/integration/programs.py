"""Programs that tests start: each in a session of its own, its output in a file."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.needs import ROOT
from tests.waiting import eventually


class Program:
    """A process that runs in a `with` block; ended by its own id, with all that it started.

    Args:
        command: the program and its arguments.
        folder: the folder it runs in.
        output: the file that collects what it says; a restart appends.
        environment: all the environment variables it gets.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, output: Path, environment: Mapping[str, str]
    ) -> None:
        self.command = command
        self.folder = folder
        self.output = output
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def said(self) -> str:
        """All its output until now."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def start(self) -> None:
        """Start it; `wait_until` says when it is ready."""
        assert not self.runs, f"{self.command[0]} runs already"
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], object], what: str, *, seconds: float = 10.0) -> None:
        """Wait for a condition, as long as the program runs.

        Raises:
            AssertionError: with the program's output, if it ended or `seconds` went by.
        """
        try:
            eventually(lambda: ready() or not self.runs, what, seconds=seconds)
            assert self.runs, f"it ended with {self._process and self._process.returncode}"
        except AssertionError as error:
            raise AssertionError(f"{self.command}: {error}\n{self.said}") from None

    def wait_until_it_says(self, text: str, *, seconds: float = 10.0) -> None:
        """Wait for `text` in its output."""
        self.wait_until(lambda: text in self.said, f"it says {text!r}", seconds=seconds)

    def stop(self, *, seconds: float = 10.0) -> int:
        """End it with SIGTERM; its exit status.

        Raises:
            AssertionError: if it did not end in time (it is killed then), or left processes behind.
        """
        if self.runs:
            os.kill(self.pid, signal.SIGTERM)
        return self._ended(seconds)

    def kill(self) -> int:
        """End it with SIGKILL; its exit status."""
        if self.runs:
            os.kill(self.pid, signal.SIGKILL)
        return self._ended(10.0)

    def _ended(self, seconds: float) -> int:
        if self._process is None:
            return 0
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(10.0)
            raise AssertionError(
                f"{self.command} did not end in {seconds:g} s\n{self.said}"
            ) from None
        self._leave_nothing_behind()
        return status

    def _leave_nothing_behind(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        raise AssertionError(f"{self.command} left processes behind\n{self.said}")


def python_program(path: Path, folder: Path, **environment: str) -> Program:
    """A Python program that finds our packages, and no other setting of this machine."""
    return Program(
        [sys.executable, str(path)],
        folder,
        folder / f"{path.stem}.log",
        {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        | environment,
    )


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")

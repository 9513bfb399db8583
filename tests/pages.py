"""A page of the documents, as a reader follows it: its files are written, its commands typed.

A fenced block whose first line is a comment with a file's name is that file, or goes on with it;
so does a block of the same language without such a line. In a `console` block, `$ ` stands before
what is typed; what follows is printed. `…` stands for what is different every time, as decimal
numbers are, and as the last line for a program that goes on running.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.integration.programs import Program
from tests.needs import ROOT
from tests.ports import free_port

_HEADING_OR_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE_NAME = re.compile(r"(?:#|<!--) (?P<name>[\w/.-]+)(?: -->)?\n")


@dataclass(frozen=True)
class Block:
    """A fenced block, and the heading it stands under."""

    heading: str
    language: str
    text: str

    @property
    def file_name(self) -> str:
        """The file it is, or an empty string."""
        match = _FILE_NAME.match(self.text)
        return match["name"] if match and self.language != "console" else ""

    @property
    def commands(self) -> Iterator["Command"]:
        """What is typed, and what is printed then."""
        if self.language == "console":
            for part in re.split(r"^\$ ", self.text, flags=re.M)[1:]:
                typed = re.match(r"(?:.*\\\n)*.*\n", part)
                assert typed
                yield Command(typed[0].rstrip("\n"), part[typed.end() :])


@dataclass(frozen=True)
class Command:
    """A command, and what a page says it prints."""

    typed: str
    printed: str

    @property
    def goes_on(self) -> bool:
        """Whether it is still running when it has printed this."""
        return self.printed.splitlines()[-1:] == ["…"]

    def printed_in(self, output: str) -> bool:
        """Whether an output is, or begins with, what the page says."""
        if self.goes_on:
            return bool(_pattern(self.printed.removesuffix("…\n")).match(output))
        # A terminal begins a new line for the next prompt.
        line_break = "" if output.endswith("\n") or not output else "\n"
        return bool(_pattern(self.printed).fullmatch(output + line_break))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found, heading = [], ""
    for match in _HEADING_OR_BLOCK.finditer(page.read_text()):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append(Block(heading, match["language"], match["text"]))
    return found


def files(page: list[Block]) -> dict[str, str]:
    """The files that blocks are, by name."""
    found: dict[str, str] = {}
    last: dict[str, str] = {}
    for block in page:
        if name := block.file_name or last.get(block.language):
            last[block.language] = name
            found[name] = "\n\n".join(filter(None, (found.get(name), block.text)))
    return found


class Reader:
    """Follows pages in a folder of its own; what it started ends with the `with` block.

    Args:
        ports: those the pages use; each becomes a free one of this machine.
    """

    def __init__(self, folder: Path, ports: tuple[int, ...]) -> None:
        self.folder = folder
        self._ports = {str(port): str(free_port()) for port in ports}
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
            "PYTHONPATH": str(ROOT),  # in the place of an installation
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
            "LOGNAME": "reader",  # m2sh asks for it
        }
        self._running: dict[str, Program] = {}
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def follow(self, page: list[Block]) -> None:
        """Write the files of blocks, and type their commands in their order.

        Raises:
            AssertionError: if a command prints something else than the page says.
        """
        self.write(files(page))
        for block in page:
            for command in block.commands:
                self.type(command)

    def write(self, texts: Mapping[str, str]) -> None:
        """Write files."""
        for name, text in texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(text))

    def type(self, command: Command) -> None:
        """Run a command; one that goes on is left running.

        Raises:
            AssertionError: if it prints something else than the page says.
        """
        here = Command(self._here(command.typed), self._here(command.printed))
        if command.goes_on:
            self._start(command.typed, here)
            return
        done = subprocess.run(
            ["bash", "-c", here.typed],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert here.printed_in(done.stdout), f"$ {here.typed}\n{done.stdout}\n{self._said()}"

    def stop(self, typed: str) -> None:
        """End a program that goes on, as Ctrl-C would."""
        self._running.pop(typed).stop()

    def _start(self, typed: str, here: Command) -> None:
        program = Program(
            ["bash", "-c", f"exec env {here.typed}"],
            self.folder,
            self.folder / f"output-{len(self._running)}.log",
            self._environment,
        )
        self._running[typed] = self._started.enter_context(program)
        program.wait_until(
            lambda: here.printed_in(program.said), f"it prints {here.printed}", seconds=30
        )

    def _here(self, text: str) -> str:
        """The text with the ports of this machine."""
        if not self._ports:
            return text
        return re.sub(rf"\b({'|'.join(self._ports)})\b", lambda m: self._ports[m[1]], text)

    def _said(self) -> str:
        return "\n".join(f"$ {typed}\n{p.said}" for typed, p in self._running.items())


def _pattern(printed: str) -> re.Pattern[str]:
    escaped = re.escape(printed).replace("…", "[^\n]*")
    return re.compile(re.sub(r"\d+\\\.\d+", r"\\d+\\.\\d+", escaped))

"""The ledger: what was issued and executed, what each caller was told, and whether they agree.

Callers write down what they issue and what they are told; the services write down what they
execute, in files that outlive them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Told = Literal["answered", "not executed", "maybe", "nothing"]

MAX_ATTEMPTS = 3
"""Executions that an idempotent call may have."""


@dataclass(frozen=True)
class Entry:
    """A call as its caller knows it; times are seconds since the epoch."""

    id: str
    idempotent: bool
    issued: float
    ended: float
    outcome: str
    """`answered`, an error's name, `cut` (the connection ended), `hung`, or a page's status."""
    told: Told
    """What the outcome says of the execution."""
    answer_to: str = ""
    """The id in the answer."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.issued


@dataclass(frozen=True)
class Execution:
    """That a service began to execute an entry."""

    id: str
    host: str
    began: float


def executions(folder: Path) -> list[Execution]:
    """What the services wrote down, in its order in time."""
    lines = (line.split() for file in folder.iterdir() for line in file.read_text().splitlines())
    return sorted(
        (Execution(id_, host, float(began)) for id_, host, began in lines), key=lambda e: e.began
    )


def disagreements(entries: Iterable[Entry], executed: Iterable[Execution]) -> list[str]:
    """What is wrong, a sentence each: nothing, where every caller was told the truth."""
    times = Counter(execution.id for execution in executed)
    entries = list(entries)
    issued = {entry.id for entry in entries}
    wrong = [f"{id_} was executed but never issued" for id_ in times.keys() - issued]
    for entry in entries:
        wrong += (f"{entry}: {fault}" for fault in _faults(entry, times[entry.id]))
    return wrong


def _faults(entry: Entry, times: int) -> Iterator[str]:
    if entry.told == "nothing":
        yield "its caller was never told anything"
    if entry.answer_to not in ("", entry.id):
        yield "its caller got another one's answer"
    if entry.told == "answered" and times == 0:
        yield "answered, but never executed"
    if entry.told == "not executed" and times > 0:
        yield "executed, though its caller was told that it was not"
    if times > (MAX_ATTEMPTS if entry.idempotent else 1):
        yield f"executed {times} times"

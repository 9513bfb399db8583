"""What a run on the Swarm did, for people: a row for each test with load, and who runs where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.ledger import Entry, Execution
from tests.chaos.load import outcomes


@dataclass(frozen=True)
class Row:
    """One test's load: how its calls ended, and how often they were executed."""

    test: str
    entries: Sequence[Entry]
    executed: Sequence[Execution]

    def __str__(self) -> str:
        title = self.test.removeprefix("test_").replace("_", " ")
        seconds = max(e.ended for e in self.entries) - min(e.issued for e in self.entries)
        answered = [entry for entry in self.entries if entry.outcome == "answered"]
        failed = {name: n for name, n in outcomes(self.entries).items() if name != "answered"}
        said = ", ".join(f"{name} {count}" for name, count in failed.items()) or "0"
        twice = len(self.executed) - len({execution.id for execution in self.executed})
        slowest = max((entry.seconds for entry in self.entries), default=0.0)
        cells = (title, f"{seconds:.0f}", len(self.entries), len(answered), said, twice)
        return f"| {' | '.join(map(str, cells))} | {slowest:.1f} |"


def report(rows: Iterable[Row], where: str) -> str:
    """The report."""
    columns = ("Test", "Seconds", "Calls", "Answered", "Failed", "Executed again", "Slowest, s")
    table = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *map(str, rows)]
    return "\n".join([*table, "", "```text", where.rstrip(), "```", ""])

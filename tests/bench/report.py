"""What was measured, in words: medians with their spread, ratios, a table, plots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Rounds = list[dict[str, Any]]
"""The figures of one system at one measure, round by round; a failure has `error` alone."""
Results = Mapping[str, Mapping[str, Rounds]]
"""By measure, then by system."""


ROUNDS_FOR_QUARTILES = 8


@dataclass(frozen=True)
class Column:
    """One figure of a measure, and how it is written."""

    title: str
    measure: str
    figure: Callable[[dict[str, Any]], float]
    text: Callable[[float], str]


def rate(figures: dict[str, Any]) -> float:
    """Calls or pages a second."""
    return float(figures["rate"])


def percentile(number: int) -> Callable[[dict[str, Any]], float]:
    """Seconds within which so many of a hundred calls were answered."""
    return lambda figures: float(figures["percentiles"][number])


def whole(value: float) -> str:
    """`12,345`."""
    return f"{value:,.0f}"


def milliseconds(value: float) -> str:
    """`0.25 ms`, of seconds."""
    return f"{value * 1000:.2f} ms"


def microseconds(value: float) -> str:
    """`25 µs`, of seconds."""
    return f"{value * 1e6:.1f} µs"


def kilobytes(value: float) -> str:
    """`2.5 kB`, of bytes."""
    return f"{value / 1000:.1f} kB"


def figure(name: str) -> Callable[[dict[str, Any]], float]:
    """The figure of that name."""
    return lambda figures: float(figures[name])


COMPARED = (
    Column("calls/s, 64 at once", "calls-64", rate, whole),
    Column("CPU/call, both ends", "calls-64", figure("cpu_of_both"), microseconds),
    Column("256 at once", "calls-256", rate, whole),
    Column("alone: p50", "calls-1", percentile(50), milliseconds),
    Column("p99", "calls-1", percentile(99), milliseconds),
    Column("64 KiB calls/s, 16 at once", "large-16", rate, whole),
    Column("5,000 of 5 s: wall ÷ 5 s", "waiting-5000", figure("times_handler"), "{:.2f}".format),
    Column("failed", "waiting-5000", figure("failed"), whole),
    Column("caller's memory/call", "waiting-5000", figure("client_bytes"), kilobytes),
    Column("service's", "waiting-5000", figure("service_bytes"), kilobytes),
    Column("pages/s with a call", "pages", rate, whole),
    Column("CPU/page, caller and service", "pages", figure("cpu_of_both"), microseconds),
    Column("pages/s without", "pages-plain", rate, whole),
    Column("CPU/page", "pages-plain", figure("cpu_of_both"), microseconds),
)


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """The median, and where there are several values the least and the greatest."""
    middle = text(median(values))
    return middle if len(values) == 1 else f"{middle} ({text(min(values))} - {text(max(values))})"


def values(results: Results, system: str, column: Column) -> list[float]:
    """A column's values for a system, one of each round that went well."""
    rounds = results.get(column.measure, {}).get(system, [])
    return [column.figure(figures) for figures in rounds if "error" not in figures]


def cell(results: Results, system: str, column: Column) -> str:
    """What the table says in one place: `failed` where no round went well, `-` if none was run."""
    if found := values(results, system, column):
        return spread(found, column.text)
    return "failed" if results.get(column.measure, {}).get(system) else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comparison(results: Results, systems: Sequence[str]) -> str:
    """The figures of all systems; columns nobody was asked for are left out."""
    columns = [column for column in COMPARED if column.measure in results]
    if not columns:
        return ""
    rows = [[name, *(cell(results, name, column) for column in columns)] for name in systems]
    return table(["system", *(column.title for column in columns)], rows)


def ratios(results: Results, system: str, others: Sequence[str]) -> str:
    """The figures of `system` divided by those of each other one."""
    columns = [c for c in COMPARED if c.measure in results and c.title != "failed"]
    rows = [
        [f"{system} ÷ {other}", *(_ratio(results, system, other, column) for column in columns)]
        for other in others
        if other != system
    ]
    if not columns or not rows:
        return ""
    return table(["ratio", *(column.title for column in columns)], rows)


def _ratio(results: Results, system: str, other: str, column: Column) -> str:
    """The median of the ratios of each round: what slows a machine for a while slows both.

    With enough rounds, the middle half of them tells how far to trust it.
    """
    above, below = (
        [None if "error" in figures else column.figure(figures) for figures in rounds]
        for rounds in (results.get(column.measure, {}).get(name, []) for name in (system, other))
    )
    of_rounds = [a / b for a, b in zip(above, below, strict=False) if a is not None and b]
    if not of_rounds:
        return "-"
    text = f"{median(of_rounds):.2f}"
    if len(of_rounds) < ROUNDS_FOR_QUARTILES:
        return text
    low, _, high = quantiles(of_rounds, n=4)
    return f"{text} ({low:.2f} - {high:.2f})"


def scaling(results: Results, systems: Sequence[str]) -> str:
    """What more replicas, endpoints and calls in flight change, for our own systems."""
    rows = []
    for measure in results:
        if measure == "waiting-20000":
            columns = [Column("wall ÷ 5 s", measure, figure("times_handler"), "{:.2f}".format)]
            columns.append(Column("failed", measure, figure("failed"), whole))
            columns.append(
                Column("caller's memory/call", measure, figure("client_bytes"), kilobytes)
            )
            columns.append(Column("service's", measure, figure("service_bytes"), kilobytes))
        elif measure.startswith("replicas-"):
            columns = [Column("CPU-bound calls/s", measure, rate, whole)]
        elif measure.startswith(("endpoints-", "in-flight-")):
            columns = [Column("caller's CPU/call", measure, figure("cpu_per_call"), microseconds)]
        else:
            continue
        for column in columns:
            cells = [cell(results, system, column) for system in systems]
            rows.append([measure, column.title, *cells])
    return table(["measure", "figure", *systems], rows) if rows else ""


def failures(results: Results) -> str:
    """A line for each failure, with what the system said first."""
    lines = []
    for measure, systems in results.items():
        for system, rounds in systems.items():
            for figures in rounds:
                if error := figures.get("error") or figures.get("first_failure"):
                    first = " ".join(str(error).split())[-300:]
                    lines.append(
                        f"- {system}, {measure}: {figures.get('failed', 'all')} failed: {first}\n"
                    )
    return "".join(lines)


def origin(result: Mapping[str, Any]) -> str:
    """When, where and how it was measured."""
    load = f"load average {result['load_before']} before, {result['load_after']} after"
    spreads = f"medians (least-greatest) of {result['rounds']} rounds"
    return f"{result['date']}, {result['machine']}, `{result['command']}`: {spreads}; {load}.\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The whole result as a page's section."""
    results, systems = result["results"], result["systems"]
    ours = [name for name in systems if name.startswith("ours")]
    parts = [
        origin(result),
        comparison(results, systems),
        *(ratios(results, name, systems) for name in ours),
        scaling(results, ours),
        failures(results),
    ]
    return "\n".join(part for part in parts if part)

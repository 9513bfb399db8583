"""What a run of faults did: a table, and a picture of faults over request outcomes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from tests.chaos.ledger import Entry
from tests.chaos.load import outcomes
from tests.chaos.schedule import Happened

ORDER = ("answered", "not executed", "maybe", "nothing")
COLOURS = {"answered": "#7fb77e", "not executed": "#e8b04a", "maybe": "#d2604e", "nothing": "#000"}
LABELS = {
    "answered": "answered",
    "not executed": "refused, not executed",
    "maybe": "failed, may have been executed",
    "nothing": "never told",
}

AFTERMATH = 4.0
"""Seconds after a fault in which what fails is counted as its doing."""

WIDTH, PLOT, MARGIN, ROW = 1000, 160, 130, 16


def table(happened: Sequence[Happened], entries: Sequence[Entry]) -> str:
    """Each kind of fault, how often and for how long it was, and how the calls near it ended."""
    lines = [
        "| Fault | Times | Seconds | Calls meanwhile | Answered | Not executed | Maybe |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in sorted({happening.fault for happening in happened}):
        spans = [h for h in happened if h.fault == fault]
        near = [e for e in entries if any(_near(e, span) for span in spans)]
        told = Counter(entry.told for entry in near)
        seconds = sum(span.ended - span.began for span in spans)
        lines.append(
            f"| {fault} | {len(spans)} | {seconds:.0f} | {len(near)} | {told['answered']} "
            f"| {told['not executed']} | {told['maybe']} |"
        )
    told = Counter(entry.told for entry in entries)
    lines.append(
        f"| the whole run | {len(happened)} | {_span(entries):.0f} | {len(entries)} "
        f"| {told['answered']} | {told['not executed']} | {told['maybe']} |"
    )
    return "\n".join(lines)


def summary(entries: Sequence[Entry], wrong: Sequence[str]) -> str:
    """How the calls ended, by name, and what the ledger says."""
    counts = sorted(outcomes(entries).items(), key=lambda item: -item[1])
    ended = ", ".join(f"{name} {count}" for name, count in counts)
    return "\n".join([f"Outcomes: {ended}.", f"Disagreements in the ledger: {len(wrong)}.", *wrong])


def picture(happened: Sequence[Happened], entries: Sequence[Entry]) -> str:
    """An SVG: above, when which fault was; below, for each second, how its calls ended."""
    start = min(entry.issued for entry in entries)
    scale = (WIDTH - MARGIN - 10) / max(1.0, _span(entries) + 1)
    faults = sorted({happening.fault for happening in happened})
    top = ROW * len(faults) + 20
    parts = [
        _text(4, ROW * row + 24, fault)
        + "".join(
            _box(
                MARGIN + (h.began - start) * scale,
                ROW * row + 14,
                max(2.0, (h.ended - h.began) * scale),
                ROW - 4,
                "#44546a",
            )
            for h in happened
            if h.fault == fault
        )
        for row, fault in enumerate(faults)
    ]
    parts += _bars(entries, start, scale, top + 10)
    parts += _legend(top + PLOT + 34)
    height = top + PLOT + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11" role="img">'
        "<title>Faults, and how calls ended in each second</title>"
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _bars(entries: Sequence[Entry], start: float, scale: float, top: float) -> Iterable[str]:
    seconds: dict[int, Counter[str]] = {}
    for entry in entries:
        seconds.setdefault(int(entry.issued - start), Counter())[entry.told] += 1
    most = max(counts.total() for counts in seconds.values())
    yield _text(4, top + 10, f"{most} calls a second")
    for second, counts in seconds.items():
        bottom = top + PLOT
        for told in filter(counts.__contains__, ORDER):
            height = counts[told] / most * PLOT
            bottom -= height
            left = MARGIN + second * scale
            yield _box(left, bottom, max(1.0, scale - 0.5), height, COLOURS[told])


def _legend(top: float) -> Iterable[str]:
    for place, told in enumerate(ORDER):
        left = MARGIN + 210 * place
        yield _box(left, top - 9, 10, 10, COLOURS[told]) + _text(left + 15, top, LABELS[told])


def _box(left: float, top: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{colour}"/>'
    )


def _text(left: float, top: float, text: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}">{escape(text)}</text>'


def _near(entry: Entry, span: Happened) -> bool:
    return entry.ended >= span.began and entry.issued <= span.ended + AFTERMATH


def _span(entries: Sequence[Entry]) -> float:
    return max(entry.issued for entry in entries) - min(entry.issued for entry in entries)

"""The plots of docs/performance/, from one result. Runs in .bench-venv: `plots RESULT FOLDER`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "bench"  # the same result draws the same file
from matplotlib import pyplot  # noqa: E402  # it reads those settings

COLOURS = pyplot.get_cmap("tab20")

Curve = list[tuple[float, float]]


def going_well(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rounds that did not fail."""
    return [figures for figures in rounds if "error" not in figures]


def throughput(results: dict[str, Any], system: str) -> Curve:
    """Calls a second, by calls at once."""
    curve = []
    for measure, systems in results.items():
        rounds = going_well(systems.get(system, []))
        if measure.startswith("calls-") and rounds:
            at_once = float(measure.removeprefix("calls-"))
            curve.append((at_once, median(figures["rate"] for figures in rounds)))
    return curve


def latency(results: dict[str, Any], system: str) -> Curve:
    """Milliseconds by percentile, 64 calls at once."""
    rounds = going_well(results.get("calls-64", {}).get(system, []))
    return [
        (percent, median(figures["percentiles"][percent] for figures in rounds) * 1000)
        for percent in (range(1, 100) if rounds else ())
    ]


def waiting(results: dict[str, Any], system: str) -> Curve:
    """Seconds until all of so many calls of a handler of 5 s were answered; none may fail."""
    curve = []
    for measure, systems in results.items():
        rounds = going_well(systems.get(system, []))
        if measure.startswith("waiting-") and rounds and not any(f["failed"] for f in rounds):
            at_once = float(measure.removeprefix("waiting-"))
            curve.append((at_once, median(figures["wall"] for figures in rounds)))
    return curve


PLOTS: dict[str, tuple[Callable[[dict[str, Any], str], Curve], str, str, str, str]] = {
    "throughput": (throughput, "calls at once", "calls/s", "log", "log"),
    "latency": (latency, "percentile, 64 calls at once", "ms", "linear", "log"),
    "waiting": (waiting, "calls at once of a handler of 5 s", "seconds until all", "log", "linear"),
}


def main() -> None:
    """Draw one SVG for each plot."""
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (curve_of, x_label, y_label, x_scale, y_scale) in PLOTS.items():
        figure, axes = pyplot.subplots(figsize=(8, 5))
        for number, system in enumerate(result["systems"]):
            curve = sorted(curve_of(result["results"], system))
            if curve:
                style = "-" if system.startswith("ours") else ":" if "floor" in system else "--"
                axes.plot(
                    *zip(*curve, strict=True),
                    style,
                    marker="." if len(curve) < 20 else "",
                    color=COLOURS(number % 20),
                    label=system,
                )
        axes.set(xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
        if y_scale == "linear":
            axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.set_title(f"{result['date']}, {result['machine'].split(',')[0]}", fontsize="small")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()

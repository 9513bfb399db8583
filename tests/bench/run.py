"""The command line of scripts/bench: rounds, in which every system is measured in turn."""

import argparse
import itertools
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import measures, report, systems
from tests.bench.measures import Bench, Measure
from tests.bench.processes import PEERS_PYTHON, ROOT, MeasureFailedError
from tests.bench.systems import System


def say(text: str) -> None:
    """Show progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look, about a minute")
    parser.add_argument("--peers", action="store_true", help="measure other systems too")
    parser.add_argument("--rounds", type=int, help="3; with --quick 1")
    parser.add_argument("--seconds", type=float, help="of each timed measure: 2; with --quick 1")
    parser.add_argument(
        "--only", default="", help="measures (with commas), such as calls-64 or calls"
    )
    parser.add_argument("--systems", default="", help="names of systems (with commas)")
    parser.add_argument("--docs", action="store_true", help="draw docs/performance/*.svg")
    parser.add_argument("--json", default="artifacts/bench.json", help="where the result goes")
    return parser.parse_args()


def chosen_systems(asked: argparse.Namespace) -> list[System]:
    """The systems to measure."""
    everyone = [*systems.FLOORS, systems.OURS, systems.OURS_MEASURED]
    if asked.systems or not asked.quick:
        everyone += [systems.OURS_QUIET, systems.OURS_TRACED]
    if asked.peers:
        everyone += systems.PEERS
    names = asked.systems.split(",") if asked.systems else [system.name for system in everyone]
    return [system for system in everyone if system.name in names]


def chosen_measures(asked: argparse.Namespace) -> list[Measure]:
    """The measures to make."""
    if asked.only:
        return [
            measure
            for measure in measures.MEASURES
            if any(f"{measure.name}-".startswith(f"{name}-") for name in asked.only.split(","))
        ]
    return [measure for measure in measures.MEASURES if measure.quick or not asked.quick]


def measure_once(bench: Bench, measure: Measure, system: System) -> dict[str, Any]:
    """The figures, or the error that kept us from them."""
    try:
        return measure.run(bench, system)
    except (MeasureFailedError, OSError, ValueError, subprocess.SubprocessError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def all_rounds(
    bench: Bench, rounds: int, chosen: list[Measure], of: list[System]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The figures by measure, then by system, one for each round.

    Who comes first in a round comes last in the next one: what goes before may leave a trace.
    """
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number, measure in itertools.product(range(1, rounds + 1), chosen):
        for system in of[number % len(of) :] + of[: number % len(of)]:
            if measure.asks(system, number):
                figures = measure_once(bench, measure, system)
                results.setdefault(measure.name, {}).setdefault(system.name, []).append(figures)
                shown = figures.get("error", "")[:300] or measures.shown(figures)
                say(f"bench: round {number}/{rounds} {measure.name} {system.name}: {shown}")
    return results


def main() -> None:
    """Measure, write the result, print the table."""
    asked = options()
    rounds = asked.rounds or (1 if asked.quick else 3)
    seconds = asked.seconds or (1.0 if asked.quick else 2.0)
    chosen = chosen_systems(asked)
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), seconds)
        results = all_rounds(bench, rounds, chosen_measures(asked), chosen)
    result = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "machine": machine(),
        "rounds": rounds,
        "seconds": seconds,
        "load_before": f"{load_before[0]:.2f}",
        "load_after": f"{os.getloadavg()[0]:.2f}",
        "systems": [system.name for system in chosen],
        "results": results,
    }
    path = ROOT / asked.json
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    text = report.markdown(result)
    sys.stdout.write(text)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    say(f"bench: the whole result is in {asked.json}")
    if asked.docs:
        draw = [PEERS_PYTHON, "-m", "tests.bench.plots", str(path), "docs/performance"]
        subprocess.run(draw, cwd=ROOT, check=True, timeout=120)


def machine() -> str:
    """The processor, its number of cores, the kernel and Python."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
            break
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {model}, {system}"


if __name__ == "__main__":
    main()

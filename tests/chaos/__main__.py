"""`scripts/chaos`: a run of any length, with its progress and a report."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.load import outcomes
from tests.chaos.report import picture, summary, table
from tests.chaos.schedule import run_schedule
from tests.chaos.system import System, running_system
from tests.needs import ROOT

REPORT = ROOT / "artifacts" / "chaos"


def main() -> int:
    """Run it; 1 if the ledger has disagreements."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="See docs/reliability.md.")
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule (default: 1)")
    parser.add_argument("--rate", type=float, default=20, help="calls a second (default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as ledger, running_system(Path(ledger)) as system:
        return _run(system, options)


def _run(system: System, options: argparse.Namespace) -> int:
    started = time.monotonic()
    happened = []
    with system.load(rate=options.rate, seconds=0.5, idempotent_every=4) as load:
        for happening in run_schedule(system, options.seed, options.minutes * 60):
            happened.append(happening)
            _say(
                f"{time.monotonic() - started:6.0f} s  {happening.fault:<18} "
                f"{happening.ended - happening.began:5.1f} s  {outcomes(load.entries)}"
            )
    entries = load.entries
    wrong = system.disagreements(entries)
    command = f"scripts/chaos --minutes {options.minutes:g} --seed {options.seed}"
    text = "\n\n".join([f"`{command}`", table(happened, entries), summary(entries, wrong)])
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "report.md").write_text(f"{text}\n\n![Faults over outcomes](report.svg)\n")
    (REPORT / "report.svg").write_text(picture(happened, entries))
    _say(f"\n{text}\n\n{REPORT.relative_to(ROOT)}/report.md and report.svg")
    return bool(wrong)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

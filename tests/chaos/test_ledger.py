"""Under a random schedule of faults, every caller is told the truth (see `ledger.py`)."""

import time

from tests.chaos.load import outcomes
from tests.chaos.schedule import FAULTS, run_schedule
from tests.chaos.system import System

SEED = 7
SECONDS = 50


def test_what_was_issued_executed_and_answered_agrees_with_what_each_caller_was_told(
    system: System,
) -> None:
    with system.load(rate=20, seconds=0.5, idempotent_every=4) as load:
        happened = list(run_schedule(system, SEED, SECONDS))
    system.repair()
    over = time.time()
    with system.load() as later:
        time.sleep(2)

    entries = load.entries
    assert len({happening.fault for happening in happened}) == len(FAULTS)
    assert outcomes(entries)["answered"] > len(entries) / 2
    assert len(outcomes(entries)) > 2, "the faults did no harm at all"
    assert system.disagreements(entries) == []
    assert outcomes(later.entries).keys() == {"answered"}, f"not all well since {over}"

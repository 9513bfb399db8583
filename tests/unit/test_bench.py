"""The benchmark's own sums and tables; what it measures is not tested here."""

import time
from typing import Any

import pytest

from tests.bench import report
from tests.bench.measures import MEASURES, Measure
from tests.bench.programs.load import Load, Tally
from tests.bench.systems import FLOORS, OURS, PEERS


def rounds(*rates: float) -> list[dict[str, Any]]:
    return [{"rate": rate} for rate in rates]


def test_a_figure_is_its_median_with_the_least_and_the_greatest() -> None:
    assert report.spread([3000.0, 1000.0, 2000.0], report.whole) == "2,000 (1,000 - 3,000)"


def test_a_single_round_has_no_spread() -> None:
    assert report.spread([0.00025], report.milliseconds) == "0.25 ms"


def test_the_comparison_has_a_row_for_each_system_and_a_column_for_each_measure_made() -> None:
    results = {"calls-256": {"ours": rounds(9000), "floor": rounds(10_000)}}
    assert report.comparison(results, ["floor", "ours"]) == (
        "| system | 256 at once |\n| --- | --- |\n| floor | 10,000 |\n| ours | 9,000 |\n"
    )


def test_a_system_that_failed_is_said_to_have_failed_and_the_others_stay() -> None:
    results = {"calls-256": {"ours": rounds(9000), "RPyC": [{"error": "it broke"}]}}
    table = report.comparison(results, ["ours", "RPyC"])
    assert "| ours | 9,000 |" in table
    assert "| RPyC | failed |" in table
    assert "RPyC, calls-256: all failed: it broke" in report.failures(results)


def test_a_failed_round_does_not_count() -> None:
    results = {"calls-256": {"ours": [{"error": "it broke"}, *rounds(5000)]}}
    assert "| ours | 5,000 |" in report.comparison(results, ["ours"])


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    results = {"calls-256": {"ours": rounds(1, 20, 9), "floor": rounds(2, 4, 3)}}
    assert "| ours ÷ floor | 3.00 |" in report.ratios(results, "ours", ["floor", "ours"])


def test_a_round_that_failed_for_one_of_two_has_no_ratio() -> None:
    results = {
        "calls-256": {
            "ours": [*rounds(1), {"error": "it broke"}, *rounds(9)],
            "floor": rounds(2, 4, 18),
        }
    }
    assert "| ours ÷ floor | 0.50 |" in report.ratios(results, "ours", ["floor", "ours"])


def test_of_many_rounds_a_ratio_has_its_quartiles() -> None:
    results = {"calls-256": {"ours": rounds(*range(1, 12)), "floor": rounds(*[2] * 11)}}
    text = report.ratios(results, "ours", ["floor", "ours"])
    assert "| ours ÷ floor | 3.00 (1.50 - 4.50) |" in text


def test_a_ratio_to_a_system_that_failed_is_left_out() -> None:
    results = {"calls-256": {"ours": rounds(8), "RPyC": [{"error": "it broke"}]}}
    assert "| ours ÷ RPyC | - |" in report.ratios(results, "ours", ["RPyC"])


def test_payloads_are_as_long_as_asked_for() -> None:
    assert len(Load("tcp://127.0.0.1:1", at_once=1, size=70).payload["text"]) == 59


def test_a_worker_that_is_to_call_once_calls_once() -> None:
    tally = Tally(Load("tcp://127.0.0.1:1", at_once=1))
    assert not tally.took(begun=time.perf_counter())


def test_a_tally_reports_failures_beside_calls(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(Load("tcp://127.0.0.1:1", at_once=2))
    tally.took(begun=time.perf_counter())
    tally.lost(TimeoutError("too late"))
    tally.report()
    assert '"calls": 1, "failed": 1, "first_failure": "TimeoutError' in capsys.readouterr().out


def test_long_measures_ask_peers_once_and_ours_in_every_round() -> None:
    waiting = Measure("waiting", run=lambda *_: {}, long=True)
    assert [waiting.asks(PEERS[0], number) for number in (1, 2)] == [True, False]
    assert [waiting.asks(OURS, number) for number in (1, 2)] == [True, True]


def test_what_only_we_can_do_is_asked_of_nobody_else() -> None:
    measure = Measure("replicas", run=lambda *_: {}, ours_only=True)
    assert measure.asks(OURS, 1)
    assert not any(measure.asks(system, 1) for system in (*FLOORS, *PEERS))


def test_every_column_belongs_to_a_measure() -> None:
    assert {column.measure for column in report.COMPARED} <= {m.name for m in MEASURES}

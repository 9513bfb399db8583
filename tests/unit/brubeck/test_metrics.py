"""What is counted, how it is shown, and that nobody outside can make series."""

import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from brubeck import loop_lag, metrics_port
from brubeck.application import Brubeck
from brubeck.metrics import BOUNDS, READINGS, STATUS_CLASSES, Durations, Metrics, Reading
from brubeck.request import Request
from brubeck.web_handlers import WebMessageHandler
from tests.http import ask
from tests.needs import ROOT
from tests.ports import free_port
from tests.unit.brubeck.fakes import brubeck, request

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Page(WebMessageHandler):
    pass


def page_of(metrics: Metrics, *readings: Reading, path: str = "/metrics") -> tuple[str, str]:
    """The status and the text of an answer."""
    told: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "HTTP_ACCEPT": OPENMETRICS}
    serve = metrics_port.application(metrics, lambda: iter(readings))
    body = b"".join(serve(environ, lambda status, _: told.append(status)))
    return told[0], body.decode()


def samples_of(metrics: Metrics, *readings: Reading) -> list[Sample]:
    """All that Prometheus would read."""
    _, text = page_of(metrics, *readings)
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def of(samples: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    """The values of one name by those of its labels, in the order of the labels' names."""
    return {
        tuple(v for _, v in sorted(s.labels.items())): s.value for s in samples if s.name == name
    }


# Durations


def test_a_duration_falls_into_the_first_bucket_whose_end_it_does_not_exceed() -> None:
    durations = Durations("name", "help", ("label",))

    for seconds in (0.0, 0.001, 0.0011, 60.0, 60.1):
        durations.observe(("a",), seconds)

    counts = durations.series["a",].counts
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (2, 1, 1, 1)
    assert sum(counts) == 5


def test_prometheus_reads_what_was_observed() -> None:
    generator = random.Random(9)
    observed = [generator.expovariate(1) for _ in range(1000)]
    metrics = Metrics()

    for seconds in observed:
        metrics.calls.observe(("tcp://s:9000", "2xx"), seconds)

    samples = samples_of(metrics)
    name = metrics.calls.name
    buckets = {s.labels["le"]: s.value for s in samples if s.name == f"{name}_bucket"}
    assert buckets == {
        str(bound): sum(seconds <= bound for seconds in observed) for bound in BOUNDS
    } | {"+Inf": 1000}
    assert of(samples, f"{name}_count") == {("2xx", "tcp://s:9000"): 1000}
    assert of(samples, f"{name}_sum")["2xx", "tcp://s:9000"] == pytest.approx(sum(observed))


def test_a_bucket_names_the_newest_request_in_it() -> None:
    metrics = Metrics()
    for request_id, seconds in (("older", 0.2), ("newer", 0.21), ("slow", 7.0)):
        metrics.calls.observe(("s", "2xx"), seconds, request_id)

    exemplars = {
        sample.labels["le"]: sample.exemplar.labels["request_id"]
        for sample in samples_of(metrics)
        if sample.exemplar
    }

    assert exemplars == {"0.25": "newer", "10.0": "slow"}


def test_an_id_that_a_caller_made_too_long_is_left_out_and_a_strange_one_is_not_misread() -> None:
    metrics = Metrics()
    strange = 'a "quoted"\nline\\'
    metrics.executions.observe(("^/$", 200), 0.2, "x" * 200)
    metrics.executions.observe(("^/$", 200), 2.0, strange)

    exemplars = [s.exemplar.labels["request_id"] for s in samples_of(metrics) if s.exemplar]

    assert exemplars == [strange]


# Labels


def test_a_request_is_counted_by_method_pattern_and_status() -> None:
    metrics = Metrics()
    for method, status in (("GET", 200), ("GET", 200), ("GET", 503), ("BREW", 405), ("get", 405)):
        metrics.request_answered(method, "^/$", status, 0.1, "an-id")

    assert of(samples_of(metrics), f"{metrics.requests.name}_count") == {
        ("GET", "^/$", "200"): 2,
        ("GET", "^/$", "503"): 1,
        ("other", "^/$", "405"): 2,
    }


@pytest.mark.parametrize(
    ("status", "said"), [(100, "1xx"), (204, "2xx"), (404, "4xx"), (599, "5xx")]
)
def test_calls_are_counted_by_the_class_of_their_status(status: int, said: str) -> None:
    assert STATUS_CLASSES[status] == said


def test_a_path_is_counted_by_the_pattern_of_its_route() -> None:
    application = brubeck((r"^/item/(\d+)$", Page), (r"^/", Page))

    assert application.pattern_of(request("/item/7")) == r"^/item/(\d+)$"
    assert application.pattern_of(request("/other")) == "^/"
    assert brubeck().pattern_of(request("/nothing")) == ""


def test_a_hundred_thousand_paths_and_methods_make_no_more_series_than_routes() -> None:
    application = measured((r"^/item/(\d+)$", Page), (r"^/list$", Page))

    for number in range(50_000):
        for message in (request(f"/item/{number}"), request(f"/{number}", f"M{number}")):
            count(application, message, 404)

    assert set(metrics_of(application).requests.series) == {
        ("GET", r"^/item/(\d+)$", 404),
        ("other", "unmatched", 404),
    }


def measured(*routes: tuple[str, Any]) -> Brubeck:
    """An application that counts; it serves nothing."""
    return brubeck(*routes, metrics_port=1)


def metrics_of(application: Brubeck) -> Metrics:
    assert application.metrics is not None
    return application.metrics


def count(application: Brubeck, message: Request, status: int) -> None:
    """Count it as connections do."""
    pattern = application.pattern_of(message)
    metrics_of(application).request_answered(message.method, pattern, status, 0.1, "an-id")


def test_without_a_port_nothing_is_counted() -> None:
    assert brubeck().metrics is None


# Readings


class WithReadings:
    """A connection that says how it is."""

    def readings(self) -> Iterator[Reading]:
        yield Reading("brubeck_sessions", 3)
        yield Reading("brubeck_dropped_total", 2, {"reason": "unread"})


def test_what_connections_say_is_shown_as_gauges_and_counters() -> None:
    samples = samples_of(Metrics(), *WithReadings().readings())

    assert of(samples, "brubeck_sessions") == {(): 3}
    assert of(samples, "brubeck_dropped_total") == {("unread",): 2}


def test_an_application_asks_all_its_connections_and_minds_none_that_says_nothing() -> None:
    application = brubeck()
    application._resources.update({"a": WithReadings(), "b": object()})

    assert [reading.name for reading in application.readings()] == [
        "brubeck_sessions",
        "brubeck_dropped_total",
    ]


# The page


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico", ""])
def test_nothing_else_is_there(path: str) -> None:
    assert page_of(Metrics(), path=path)[0] == "404 Not Found"


def test_all_names_are_ours_or_prometheus_own_and_have_a_help_text() -> None:
    readings = [Reading(name, 1) for name in READINGS]
    _, text = page_of(Metrics(), *readings)

    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    assert names == helped
    assert {name.partition("_")[0] for name in names} == {"brubeck", "process", "python"}


def names_shown() -> set[str]:
    """Our metrics, as Prometheus names them."""
    _, text = page_of(Metrics(), *(Reading(name, 1) for name in READINGS))
    kinds = re.findall(r"^# TYPE (brubeck_\w+) (\w+)", text, re.MULTILINE)
    return {name + ("_total" if kind == "counter" else "") for name, kind in kinds}


def test_the_page_for_operators_has_every_metric() -> None:
    rows = re.findall(r"^\| `(brubeck_\w+)` \|", operations(), re.MULTILINE)

    assert sorted(rows) == sorted(names_shown())


def test_the_page_for_operators_has_a_chapter_for_every_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "prometheus/alerts.yml").read_text())
    chapters = re.findall(r"^### (\w+)$", operations(), re.MULTILINE)

    assert alerts
    assert chapters == alerts


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "prometheus/alerts.yml").read_text())
    tests = (ROOT / "prometheus/alerts_test.yml").read_text()

    assert set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels", tests)) == set(alerts)
    assert set(re.findall(r"alertname: (\w+)}", tests)) == set(alerts)


def test_alerts_and_their_tests_know_only_metrics_that_there_are() -> None:
    known = names_shown() | {f"{n}_{end}" for n in names_shown() for end in ("count", "sum")}

    for name in ("alerts.yml", "alerts_test.yml"):
        used = set(re.findall(r"\bbrubeck_\w+", (ROOT / "prometheus" / name).read_text()))
        assert used <= known


def operations() -> str:
    return (ROOT / "docs/operations.md").read_text()


# The port


def test_readers_who_say_nothing_more_keep_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    beginnings = (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
    monkeypatch.setattr(metrics_port, "MAX_READERS", len(beginnings))
    monkeypatch.setattr(metrics_port._Handler, "idle", 0.2)
    port = free_port()
    server = metrics_port.MetricsPort(port, Metrics(), lambda: iter(()))

    with ExitStack() as connections:
        for beginning in beginnings:
            reader = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            reader.sendall(beginning)
        gevent.sleep(0.1)
        assert ask(port, "/metrics", timeout=5).status == 200

    server.stop()


# The event loop


def test_how_late_the_event_loop_is_is_told_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([10.0, 10.25, 20.0, 21.25, 30.0, 30.2])
    monkeypatch.setattr(loop_lag, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(loop_lag, "gevent", SimpleNamespace(sleep=lambda _: None))
    told: list[float] = []

    with pytest.raises(StopIteration):
        loop_lag.measure_loop_lag(told.append)

    assert told == [0.0, 1.0, 0.0]

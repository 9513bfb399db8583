"""Traces of the demonstration, from the browser to the service and back, as a receiver has them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.http import Answer, ask
from tests.integration.programs import Program, python_program
from tests.integration.real_mongrel2 import Mongrel2
from tests.integration.receiver import ReceivedSpan, Receiver
from tests.needs import ROOT
from tests.ports import free_port
from tests.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
KEPT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
NOT_KEPT = {"traceparent": f"00-{TRACE}-{SPAN}-00"}


@dataclass
class Site:
    """The client app and the slow service, behind Mongrel2 or not."""

    port: int
    client_app: Program
    slow_service: Program

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a browser."""
        return ask(self.port, path, headers=headers, timeout=20)

    def stop(self) -> float:
        """End both; seconds the slower one took."""
        started = time.monotonic()
        assert self.client_app.stop() == self.slow_service.stop() == 0
        return time.monotonic() - started


@pytest.fixture
def start_site(mongrel2: Mongrel2, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts both programs with traces going to an endpoint."""
    with ExitStack() as started:
        for name, content in (
            ("passphrase", "only for this test"),
            ("cookie", "of this test only"),
        ):
            (tmp_path / name).write_text(content)

        def program(name: str, settings: dict[str, str]) -> Program:
            folder = tmp_path / name
            folder.mkdir()
            path = ROOT / name / "app.py"
            settings = settings | {"OTEL_SERVICE_NAME": name}
            return started.enter_context(python_program(path, folder, **settings))

        def start(endpoint: str, *, wsgi: bool = False, **more: str) -> Site:
            port = free_port() if wsgi else mongrel2.port
            addr = f"tcp://127.0.0.1:{free_port()}"
            settings = {
                "MONGREL2_PULL_ADDR": mongrel2.pull_addr,
                "MONGREL2_PUB_ADDR": mongrel2.pub_addr,
                "WSGI_PORT": str(port if wsgi else 0),
                "SLOW_SERVICE_ADDR": addr,
                "SERVICE_BIND_ADDR": addr,
                "SERVICE_PASSPHRASE_FILE": str(tmp_path / "passphrase"),
                "COOKIE_SECRET_FILE": str(tmp_path / "cookie"),
                "SLOW_SECONDS": "0.1",
                "HEALTH_PORT": "0",
                "LOG_FORMAT": "json",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            } | more
            site = Site(port, program("client-app", settings), program("slow-service", settings))
            ready = lambda: site.ask("/readyz", NOT_KEPT).status == 200  # noqa: E731
            site.client_app.wait_until_it_says("started")
            site.client_app.wait_until(ready, "it is ready", seconds=15)
            return site

        yield start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes what both programs send."""
    with Receiver() as receiver:
        yield receiver


def by_name(spans: list[ReceivedSpan]) -> dict[str, ReceivedSpan]:
    """The spans by their kinds and names, each of which is there once."""
    names = {f"{span.kind} {span.name}": span for span in spans}
    assert len(names) == len(spans), spans
    return names


def lines_about(program: Program, request_id: str) -> list[dict[str, Any]]:
    """What a program logged about a request."""
    lines = [json.loads(line) for line in program.said.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("request_id") == request_id]


@pytest.mark.parametrize("wsgi", [False, True], ids=["mongrel2", "wsgi"])
@pytest.mark.parametrize("path", ["/service/sync", "/service/async"])
def test_a_request_its_call_the_execution_and_the_response_are_one_trace(
    start_site: Callable[..., Site], receiver: Receiver, path: str, wsgi: bool
) -> None:
    site = start_site(receiver.endpoint, wsgi=wsgi)

    answer = site.ask(f"{path}?token=secret", KEPT | {"Cookie": "session=secret"})

    assert answer.status == 200
    spans = by_name(receiver.wait_for(4))
    request = spans[f"SERVER GET {path}"]
    call = spans["CLIENT request /service/slow"]
    execution = spans["SERVER request /service/slow"]
    response = spans["INTERNAL response /service/slow"]
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert request.parent_id == SPAN
    assert call.parent_id == request.span_id
    assert execution.parent_id == call.span_id
    assert response.parent_id == call.span_id
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{request.span_id}-01"
    # And
    assert {span.service for span in (request, call, response)} == {"client-app"}
    assert execution.service == "slow-service"
    assert {span.attributes["brubeck.request_id"] for span in spans.values()} == {answer.request_id}
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == path
    assert call.attributes["brubeck.replica"] == execution.attributes["brubeck.replica"]
    assert not any(b"secret" in body for body in receiver.bodies)
    assert not any(span.failed for span in spans.values())
    for program in (site.client_app, site.slow_service):
        lines = lines_about(program, answer.request_id)
        assert lines
        assert {line.get("trace_id") for line in lines} == {TRACE}, lines


def test_a_browser_without_a_trace_gets_one(
    start_site: Callable[..., Site], receiver: Receiver
) -> None:
    site = start_site(receiver.endpoint)

    for wrong in ({}, {"traceparent": "00-nonsense"}, {"traceparent": f"00-{TRACE}-{SPAN}"}):
        del receiver.spans[:]
        answer = site.ask("/", wrong)
        [span] = receiver.wait_for(1)
        assert span.parent_id == ""
        assert span.trace_id != TRACE
        assert answer.headers["traceresponse"] == f"00-{span.trace_id}-{span.span_id}-01"


def test_a_trace_that_the_browser_does_not_keep_is_not_sent_but_named(
    start_site: Callable[..., Site], receiver: Receiver
) -> None:
    site = start_site(receiver.endpoint)

    answer = site.ask("/service/async", NOT_KEPT)
    eventually(lambda: "the response arrived" in site.client_app.said, "it arrives", seconds=10)
    site.stop()

    assert receiver.spans == []
    assert answer.headers["traceresponse"] == NOT_KEPT["traceparent"]
    for program in (site.client_app, site.slow_service):
        lines = lines_about(program, answer.request_id)
        assert lines
        assert {line.get("trace_id") for line in lines} == {TRACE}, lines


def test_the_sampler_of_the_environment_decides_for_the_whole_trace(
    start_site: Callable[..., Site], receiver: Receiver
) -> None:
    site = start_site(
        receiver.endpoint,
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
        SLOW_SECONDS="0",
    )

    answers = [site.ask("/service/sync") for _ in range(40)]
    site.stop()

    kept = [answer for answer in answers if "traceresponse" in answer.headers]
    assert 5 <= len(kept) <= 35
    traces = {answer.headers["traceresponse"].split("-")[1] for answer in kept}
    assert {span.trace_id for span in receiver.spans} == traces
    assert len(receiver.spans) == 4 * len(kept)


def test_a_call_that_fails_says_how(start_site: Callable[..., Site], receiver: Receiver) -> None:
    site = start_site(receiver.endpoint)
    site.slow_service.stop()
    eventually(lambda: site.ask("/readyz", NOT_KEPT).status == 503, "it is gone", seconds=10)

    answer = site.ask("/service/sync", KEPT)

    assert answer.status == 503
    spans = by_name(receiver.wait_for(2))
    assert spans["SERVER GET /service/sync"].attributes["http.response.status_code"] == 503
    for span in spans.values():
        assert span.failed
        assert span.attributes["error.type"] == "ServiceUnavailable"


def test_a_call_that_takes_too_long_has_a_span_at_both_ends(
    start_site: Callable[..., Site], receiver: Receiver
) -> None:
    site = start_site(receiver.endpoint, SLOW_SECONDS="30", SERVICE_TIMEOUT="0.5")

    answer = site.ask("/service/sync", KEPT)

    assert answer.status == 504
    errors = {
        (span.service, span.kind): span.attributes["error.type"] for span in receiver.wait_for(3)
    }
    # The caller gives up first, but a slow machine may be late to tell the service.
    assert errors.pop(("slow-service", "SERVER")) in {"cancelled", "504"}
    assert errors == {
        ("client-app", "SERVER"): "ServiceTimeout",
        ("client-app", "CLIENT"): "ServiceTimeout",
    }


@pytest.mark.parametrize("stalled", [False, True], ids=["absent", "stalled"])
def test_a_receiver_that_does_not_receive_does_no_harm(
    start_site: Callable[..., Site], stalled: bool
) -> None:
    with Receiver(stalled=True) as silent:
        endpoint = silent.endpoint if stalled else f"http://127.0.0.1:{free_port()}"
        site = start_site(
            endpoint,
            SLOW_SECONDS="0",
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            OTEL_BSP_MAX_QUEUE_SIZE="20",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
        )

        answers = [site.ask("/service/sync") for _ in range(60)]
        site.client_app.wait_until_it_says("the receiver of traces does not take them", seconds=15)

        assert {answer.status for answer in answers} == {200}
        assert max(answer.seconds for answer in answers) < 5
        assert site.stop() < 15
    assert silent.asked > 0 or not stalled
    lines = [json.loads(line) for line in site.client_app.said.splitlines()]
    about_traces = [
        line
        for line in lines
        if line["logger"].startswith(("brubeck.", "opentelemetry", "urllib3"))
    ]
    warnings = [line["message"] for line in about_traces if line["level"] in ("warning", "error")]
    assert len(warnings) == 1, warnings


def test_why_a_receiver_does_not_take_them_is_said(start_site: Callable[..., Site]) -> None:
    with Receiver(status=401) as refusing:
        site = start_site(refusing.endpoint)

        site.ask("/", KEPT)

        site.client_app.wait_until_it_says("they are dropped until it does: ", seconds=15)
    said = site.client_app.said.splitlines()
    [warning] = [line for line in said if "the receiver of traces" in line]
    assert "401" in warning
    assert "Unauthorized" in warning

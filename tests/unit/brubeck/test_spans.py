"""What becomes of messages and calls where there are traces."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gevent
import pytest
from gevent.pool import Pool
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Span

from brubeck import logs, spans, traceparent
from brubeck.request import Request
from brubeck.request_handling import Brubeck, WebMessageHandler
from brubeck.spans import ServerSpan, SpanElsewhere, Tracing, traceparent_of
from brubeckservice.base import ServiceClientMixin, ServiceMessageHandler, ServiceRequest
from brubeckservice.testing import NoConnection, stand_in
from tests.unit.brubeckservice.fakes import fake_connections

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
KEPT = f"00-{TRACE}-{SPAN}-01"
NOT_KEPT = f"00-{TRACE}-{SPAN}-00"
ADDR = "tcp://prices:9000"
FULL = "tcp://full:9000"


def test_a_span_elsewhere_has_the_ids_it_is_known_by() -> None:
    ids = SpanElsewhere(KEPT).get_span_context()
    assert (f"{ids.trace_id:032x}", f"{ids.span_id:016x}") == (TRACE, SPAN)
    assert ids.is_remote
    assert ids.trace_flags.sampled


class Price(ServiceMessageHandler):
    """The service's handler, and the caller's for its response."""

    def request(self) -> Any:
        return self.render(200)

    response = request


class Page(ServiceClientMixin, WebMessageHandler):
    """Calls the service, in a way that the query says."""

    def get(self, _number: str) -> Any:
        request = self.create_service_request("/price")
        if self.get_argument("nowait"):
            self.send_service_request_nowait(ADDR, request)
        else:
            self.send_service_request(ADDR, request)
        return self.render()


class Overfull(ServiceClientMixin, WebMessageHandler):
    """Calls a service twice while as many calls are under way as may be."""

    def get(self) -> Any:
        self.register_service(FULL, "a passphrase")
        self._services.open(FULL).background = Pool(0)
        for _ in range(2):
            self.send_service_request_nowait(FULL, self.create_service_request("/price"))
        return self.render()


class Broken(WebMessageHandler):
    """Raises what nobody may read in a span."""

    def get(self) -> Any:
        raise RuntimeError("the password is secret")


class Traced:
    """Two applications whose spans stay here."""

    def __init__(self, sampler: Sampler) -> None:
        self.kept = InMemorySpanExporter()
        ids = spans._Ids()
        self.provider = TracerProvider(sampler, id_generator=ids, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.tracing = Tracing(self.provider, ids)
        self.site = Brubeck(
            NoConnection(),
            [
                ("^/page/([0-9]+)$", Page),
                ("^/overfull$", Overfull),
                ("^/broken$", Broken),
                ("^/price$", Price),
            ],
        )
        self.service = Brubeck(NoConnection(), [("^/price$", Price)])
        self.site.tracing = self.service.tracing = self.tracing

    def ask(self, path: str, **headers: str) -> Request:
        """Handle a request as a connection does; the request."""
        path, _, query = path.partition("?")
        request = Request({"PATH": path, "QUERY": query, **headers}, request_id="r-1")

        def handle() -> Any:
            with stand_in(self.site, ADDR, self.service):
                return self.site.handle(request, WebMessageHandler)

        answer, span = self.within(self.site, request, handle)
        if span is not None:
            span.answered(answer.status_code)
        return request

    def within(
        self, application: Brubeck, message: Any, work: Callable[[], Any]
    ) -> tuple[Any, ServerSpan | None]:
        """Do something where a message is handled: what it returns, and the message's span."""
        _, variables, span = self.tracing.begin(application, message)
        return gevent.spawn(variables.copy().run, work).get(), span

    @property
    def spans(self) -> Mapping[str, ReadableSpan]:
        """Those that were kept, by their names."""
        return {span.name: span for span in self.kept.get_finished_spans()}


@pytest.fixture(autouse=True)
def lines_as_before() -> Iterator[None]:
    """Log lines of other tests have no trace."""
    yield
    logs.current_trace_id = None


@pytest.fixture
def traced() -> Traced:
    """Every trace is kept unless its parent is not."""
    return Traced(ParentBased(ALWAYS_ON))


def test_a_request_continues_the_browsers_trace(traced: Traced) -> None:
    request = traced.ask("/page/7", traceparent=KEPT)
    span = traced.spans["GET /page/([0-9]+)"]
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert request.traceparent == f"00-{TRACE}-{span.context.span_id:016x}-01"


@pytest.mark.parametrize("query", ["", "?nowait=1"])
def test_a_call_and_its_response_are_below_the_request(traced: Traced, query: str) -> None:
    traced.ask(f"/page/7{query}")
    page, call = traced.spans["GET /page/([0-9]+)"], traced.spans["request /price"]
    response = traced.spans["response /price"]
    assert page.parent is None
    assert call.parent is not None
    assert response.parent is not None
    assert page.context is not None
    assert call.context is not None
    assert call.parent.span_id == page.context.span_id
    assert response.parent.span_id == call.context.span_id
    assert call.attributes == {
        "rpc.system.name": "brubeck",
        "rpc.method": "request /price",
        "brubeck.request_id": "r-1",
        "brubeck.replica": "stand-in",
        "server.address": ADDR,
        "rpc.response.status_code": "200",
    }


def test_a_call_that_is_refused_unsent_has_a_span_and_is_no_parent_of_the_next(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_connections(monkeypatch)
    traced.ask("/overfull")

    *pairs, page = traced.kept.get_finished_spans()
    calls, responses = pairs[::2], pairs[1::2]
    assert [call.name for call in calls] == ["request /price"] * 2
    assert [response.name for response in responses] == ["response /price"] * 2
    assert [parent_id(call) for call in calls] == [span_id(page)] * 2
    assert [parent_id(response) for response in responses] == [span_id(call) for call in calls]
    for call in calls:
        assert call.attributes is not None
        assert call.attributes["error.type"] == "ServiceRefused"


def span_id(span: ReadableSpan) -> Any:
    assert span.context is not None
    return span.context.span_id


def parent_id(span: ReadableSpan) -> Any:
    assert span.parent is not None
    return span.parent.span_id


def test_a_trace_that_is_not_kept_is_handed_on_as_it_is(traced: Traced) -> None:
    with stand_in(traced.site, ADDR, lambda _: {}) as prices:
        request = Request({"PATH": "/page/7", "traceparent": NOT_KEPT}, request_id="r-1")
        handle = partial(traced.site.handle, request, WebMessageHandler)
        _, span = traced.within(traced.site, request, handle)
    assert span is None
    assert not traced.spans
    assert [called.traceparent for called in prices.requests] == [NOT_KEPT]
    assert request.traceparent == NOT_KEPT


@pytest.mark.parametrize("sampler", [TraceIdRatioBased(1e-9), ParentBased(TraceIdRatioBased(0))])
def test_of_a_trace_that_begins_here_and_is_not_kept_nobody_keeps_a_part(
    sampler: Sampler,
) -> None:
    traced = Traced(sampler)
    users = traced.provider.get_tracer("users")

    def work() -> None:
        with users.start_as_current_span("mine"):
            traced.site.handle(request, WebMessageHandler)

    def execute() -> None:
        users.start_span("mine too").end()

    with stand_in(traced.site, ADDR, traced.service) as prices:
        request = Request({"PATH": "/page/7"}, request_id="r-1")
        traced.within(traced.site, request, work)
        traced.within(traced.service, prices.requests[0], execute)
    assert [called.traceparent for called in prices.requests] == [traceparent.NOT_KEPT]
    assert request.traceresponse == ""
    assert not traced.spans


@pytest.mark.parametrize(
    ("sampler", "kept"),
    [(ParentBased(TraceIdRatioBased(0)), False), (TraceIdRatioBased(1), True)],
    ids=["none", "all, whatever the parent says"],
)
def test_the_sampler_decides(sampler: Sampler, kept: bool) -> None:
    traced = Traced(sampler)
    request = traced.ask("/page/7", **({"traceparent": NOT_KEPT} if kept else {}))
    assert bool(traced.spans) == kept
    assert request.traceparent.endswith("-01" if kept else traceparent.NOT_KEPT)


@pytest.mark.parametrize("given", [traceparent.NOT_KEPT, "nonsense"])
def test_a_browser_that_sends_no_traceparent_begins_no_trace(traced: Traced, given: str) -> None:
    traced.ask("/page/7", traceparent=given)
    assert traced.spans["GET /page/([0-9]+)"].parent is None


def test_as_many_traces_are_kept_as_the_ratio_says() -> None:
    traced = Traced(ParentBased(TraceIdRatioBased(0.25)))
    flags = [traced.ask("/nowhere").traceparent[-2:] for _ in range(400)]
    assert 40 <= flags.count("01") <= 180
    assert len(traced.kept.get_finished_spans()) == flags.count("01")


def test_a_greenlet_without_a_span_calls_for_the_request_it_is_from(traced: Traced) -> None:
    request = ServiceRequest(0, 0, "/price", traceparent=KEPT)
    sent, _ = gevent.spawn(traced.tracing.begin_call, ADDR, request, print).get()
    assert sent.traceparent[:36] == KEPT[:36]
    assert sent.traceparent != KEPT


def test_a_failure_is_known_by_its_class_alone(traced: Traced) -> None:
    traced.ask("/broken")
    span = traced.spans["GET /broken"]
    assert span.attributes is not None
    assert span.attributes["error.type"] == "RuntimeError"
    assert not span.events
    assert "secret" not in span.to_json()


def test_no_span_has_a_header_or_a_query(traced: Traced) -> None:
    traced.ask("/page/7?token=secret", cookie="secret", authorization="secret")
    assert traced.spans
    assert not any("secret" in span.to_json() for span in traced.spans.values())


def test_a_method_that_nobody_knows_names_no_span(traced: Traced) -> None:
    traced.ask("/page/7", METHOD="MADEUP")
    assert "HTTP /page/([0-9]+)" in traced.spans


def test_a_users_own_span_is_part_of_the_trace(traced: Traced) -> None:
    users = traced.provider.get_tracer("users")

    def work() -> tuple[Span, Any]:
        trace.get_current_span().set_attribute("customer", 7)
        with users.start_as_current_span("mine") as mine:
            return mine, traced.tracing.begin_call(ADDR, ServiceRequest(0, 0, "/price"), print)

    request = Request({"PATH": "/page/7", "traceparent": KEPT})
    (mine, (_, call)), span = traced.within(traced.site, request, work)
    assert span is not None
    span.answered(200)
    assert parent_id(call._span) == mine.get_span_context().span_id
    page = traced.spans["GET /page/([0-9]+)"]
    assert parent_id(traced.spans["mine"]) == page.context.span_id
    assert page.attributes is not None
    assert page.attributes["customer"] == 7


def test_a_log_line_has_the_id_of_the_trace_that_is_being_handled(traced: Traced) -> None:
    def line() -> Any:
        record = logging.LogRecord("brubeck.test", logging.INFO, "file", 1, "text", (), None)
        return json.loads(logs.JsonFormatter().format(record)).get("trace_id")

    for given in (KEPT, NOT_KEPT):
        request = Request({"traceparent": given})
        assert traced.within(traced.site, request, line)[0] == TRACE
    assert line() is None


def test_a_log_line_of_a_trace_that_began_here_and_is_not_kept_has_no_id() -> None:
    traced = Traced(ParentBased(TraceIdRatioBased(0)))
    line, _ = traced.within(traced.site, Request({}), spans._current_trace_id)
    assert line == ""


def test_no_span_is_named_by_nothing() -> None:
    assert traceparent_of(trace.INVALID_SPAN) == ""

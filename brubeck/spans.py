"""Traces: spans for requests, calls and responses, by OpenTelemetry.

Loaded by `brubeck.tracing` where traces are on. A trace is handed on as a `traceparent` (W3C Trace
Context): from the browser, in the messages between instances, and from a message to the calls made
while it is handled. Whether a trace is kept is decided before anything is made of it. One that is
not costs next to nothing: nobody will look for it, so it need not have ids of its own.

No span holds a query, a header, a body or the text of an exception.
"""

import logging
import random
from collections.abc import Callable, Sequence
from contextvars import Context as Variables
from typing import TYPE_CHECKING, Any, TypeVar, cast

import gevent
from msgspec import Struct
from msgspec.structs import replace
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from brubeck import __version__, logs
from brubeck.errors import status_of
from brubeck.request import METHODS
from brubeck.span_export import provider_to_receiver
from brubeck.traceparent import KEPT, NOT_KEPT, NOT_KEPT_IDS, SAMPLED, parse_traceparent

if TYPE_CHECKING:
    from brubeck.application import Brubeck

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 3.0
"""Seconds that the last spans may take to leave when the process ends."""

REQUEST_ID = "brubeck.request_id"
REPLICA = "brubeck.replica"
RPC_STATUS = "rpc.response.status_code"

_NOTHING = Context()
[_CURRENT_SPAN] = trace.set_span_in_context(trace.INVALID_SPAN, _NOTHING)
"""The key of a context's span: what is done for every message goes by it directly."""
M = TypeVar("M", bound=Any)
C = TypeVar("C", bound=Callable[..., Any])


class SpanElsewhere(NonRecordingSpan):
    """A span of which only the ids are known here: of another process, or one that is not kept."""

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        self._ids: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        """The ids, read when somebody asks: as a rule nobody does."""
        if self._ids is None:
            _, trace_id, span_id, flags = self.traceparent.split("-")
            self._ids = SpanContext(
                int(trace_id, 16),
                int(span_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(int(flags, 16)),
            )
        return self._ids


_NOT_KEPT_CONTEXT = Context({_CURRENT_SPAN: SpanElsewhere(NOT_KEPT_IDS)})
_NOT_KEPT_VARIABLES = Variables()
_NOT_KEPT_VARIABLES.run(context.attach, _NOT_KEPT_CONTEXT)


def traceparent_of(span: Span) -> str:
    """The `traceparent` by which others refer to a span; an empty text if it has no ids."""
    if isinstance(span, SpanElsewhere):
        return span.traceparent
    ids = span.get_span_context()
    sampled = ids.trace_flags & SAMPLED
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{sampled:02x}" if ids.is_valid else ""


class ServerSpan:
    """What is recorded of a message that is being handled."""

    __slots__ = ("_span", "_web")

    def __init__(self, span: Span, transport: str) -> None:
        self._span = span
        self._web = transport == "http"

    def answered(self, status_code: int) -> None:
        """It has its answer."""
        if self._web:
            self._span.set_attribute("http.response.status_code", status_code)
        else:
            self._span.set_attribute(RPC_STATUS, str(status_code))
        _end(self._span, status_code)

    def abandoned(self) -> None:
        """It gets no answer: nobody waits for it any more."""
        _fail(self._span, "cancelled")
        self._span.end()


class RecordedCall:
    """A call to a service that is recorded: called in place of `call`, it does the same."""

    __slots__ = ("_call", "_span")

    def __init__(self, span: Span, call: Callable[..., Any]) -> None:
        self._span = span
        self._call = call

    def __call__(
        self, request: Any, seconds: float, idempotent: bool, on_progress: Any, on_sent: Any
    ) -> Any:
        """The response; raises what `call` raises."""

        def sent(instance: str) -> None:
            self._span.set_attribute(REPLICA, instance)
            if on_sent is not None:
                on_sent(instance)

        try:
            response = self._call(request, seconds, idempotent, on_progress, sent)
        except BaseException as error:
            _fail(self._span, type(error).__name__)
            self._span.end()
            raise
        self._span.set_attribute(RPC_STATUS, str(response.status_code))
        _end(self._span, response.status_code)
        return response


class Tracing:
    """Makes spans of what an application does. One for a process."""

    def __init__(self, provider: TracerProvider, ids: "_Ids") -> None:
        self._provider = provider
        self._ids = ids
        self._sampler = provider.sampler
        self._asks_the_parent = isinstance(provider.sampler, ParentBased)
        root = getattr(provider.sampler, "_root", provider.sampler)
        # What it would say of a trace without a parent by the lower half of its id, but faster.
        self._bound = root.bound if isinstance(root, TraceIdRatioBased) else None
        tracer = cast(Tracer, provider.get_tracer("brubeck", __version__))
        tracer.sampler = ALWAYS_ON  # the provider's has been asked before a span is made
        self._tracer = tracer
        logs.current_trace_id = _current_trace_id

    @classmethod
    def to_receiver(cls) -> "Tracing":
        """Spans go in batches, from a greenlet of their own, to where the environment says.

        Raises:
            ValueError: if a variable of OpenTelemetry's is one that it refuses.
        """
        ids = _Ids()
        provider = provider_to_receiver(ids)
        # A user's own spans belong to the same traces.
        trace.set_tracer_provider(provider)
        return cls(provider, ids)

    def stop(self) -> None:
        """Send what is waiting to be sent, within `STOP_TIMEOUT`."""
        with gevent.Timeout(STOP_TIMEOUT, False):  # type: ignore[arg-type]  # as documented
            self._provider.shutdown()
        logs.current_trace_id = None

    # Messages that are handled

    def begin(
        self, application: "Brubeck", message: Any
    ) -> tuple[Any, Variables, ServerSpan | None]:
        """Begin with a message.

        Returns the message, whose `traceparent` is now what its calls are told; the context
        variables to handle it with; and what is recorded of it, if anything is.
        """
        if message.traceparent == NOT_KEPT:
            return message, _NOT_KEPT_VARIABLES, None
        web = message.transport == "http"
        given = message.headers.get("traceparent") if web else message.traceparent
        parent = parse_traceparent(given) if given and given != NOT_KEPT else ""
        if not_kept := self._if_not_kept(parent):
            if web and not_kept is not NOT_KEPT:
                message.traceresponse = not_kept
            return _with_traceparent(message, not_kept), _variables(_below(not_kept)), None
        if web:
            span = self._start_web(application, message, parent)
            message.traceresponse = traceparent_of(span)
        else:
            span = self._start_service(application, message, parent)
        variables = _variables(Context({_CURRENT_SPAN: span}))
        recorded = ServerSpan(span, message.transport)
        return _with_traceparent(message, traceparent_of(span)), variables, recorded

    def resume(self, traceparent: str) -> None:
        """Go on, in another greenlet, with what was begun."""
        if parent := parse_traceparent(traceparent):
            context.attach(_below(parent))

    def failed(self, error: BaseException) -> None:
        """Note of what kind an exception was that a handler let through."""
        if status_of(error) >= 500:
            _fail(trace.get_current_span(), type(error).__name__)

    # Calls that are made, and their responses

    def begin_call(self, addr: str | Sequence[str], request: M, call: C) -> tuple[M, C]:
        """Begin with a call: the ServiceRequest to send, and what to call in place of `call`.

        It belongs to the current span; in a greenlet that has none, to where the request is from.
        """
        if request.traceparent == NOT_KEPT:
            return request, call
        parent = _current_traceparent()
        if not parent and request.traceparent:
            parent = parse_traceparent(request.traceparent)
        if not_kept := self._if_not_kept(parent):
            return replace(request, traceparent=not_kept), call
        attributes = _of_service(request)
        attributes["server.address"] = addr if isinstance(addr, str) else list(addr)
        span = self._start(f"{request.method} {request.path}", SpanKind.CLIENT, parent, attributes)
        recorded = cast(C, RecordedCall(span, call))
        return replace(request, traceparent=traceparent_of(span)), recorded

    def handle_response(self, application: "Brubeck", response: Any, traceparent: str) -> Any:
        """What the application's handler returns for the response to a call that is kept."""
        pattern = application.pattern_of(response)
        if not pattern:
            return application.handle(response)
        attributes = {REQUEST_ID: response.request_id}
        span = self._start(
            f"response {_readable(pattern)}", SpanKind.INTERNAL, traceparent, attributes
        )
        outer = context.attach(Context({_CURRENT_SPAN: span}))
        try:
            return application.handle(response)
        finally:
            context.detach(outer)
            span.end()

    # Spans

    def _if_not_kept(self, parent: str) -> str:
        """The `traceparent` to hand on where a trace is not kept; an empty text where it is.

        The samplers go by the trace's id and its parent. A span made next has the id they saw.
        """
        if parent == NOT_KEPT:
            return NOT_KEPT
        if not parent:
            low = random.getrandbits(64)
            if self._bound is not None and low >= self._bound:
                return NOT_KEPT
            trace_id = random.getrandbits(64) << 64 | low
            if self._bound is None and not self._samples(_NOTHING, trace_id):
                return NOT_KEPT
            self._ids.next = trace_id
            return ""
        kept = parent.endswith(KEPT)
        if not self._asks_the_parent:
            kept = self._samples(_below(parent), int(parent[3:35], 16))
        if kept:
            return ""
        return parent if parent.endswith("-00") else f"{parent[:-2]}00"

    def _samples(self, parent: Context, trace_id: int) -> bool:
        decision = self._sampler.should_sample(parent, trace_id, "").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def _start_web(self, application: "Brubeck", request: Any, parent: str) -> Span:
        route = _readable(application.pattern_of(request))
        method = request.method if request.method in METHODS else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.path": request.path,
            "url.scheme": "http",
            "network.protocol.version": request.version.removeprefix("HTTP/"),
            REQUEST_ID: request.request_id,
        }
        if route:
            attributes["http.route"] = route
        name = f"{method if method != '_OTHER' else 'HTTP'} {route}".rstrip()
        return self._start(name, SpanKind.SERVER, parent, attributes)

    def _start_service(self, application: "Brubeck", request: Any, parent: str) -> Span:
        route = _readable(application.pattern_of(request))
        name = f"{request.method} {route}".rstrip()
        attributes = _of_service(request)
        attributes[REPLICA] = getattr(application.msg_conn, "instance", "")
        return self._start(name, SpanKind.SERVER, parent, attributes)

    def _start(self, name: str, kind: SpanKind, parent: str, attributes: dict[str, Any]) -> Span:
        return self._tracer.start_span(name, _below(parent), kind, attributes)


class _Ids(RandomIdGenerator):
    """Random ids; a trace that the sampler was asked about has the id it was asked with."""

    next = 0

    def generate_trace_id(self) -> int:
        chosen, self.next = self.next, 0
        return chosen or super().generate_trace_id()


def _variables(current: Context) -> Variables:
    """Context variables in which `current` is OpenTelemetry's context."""
    if current is _NOT_KEPT_CONTEXT:
        return _NOT_KEPT_VARIABLES
    variables = Variables()
    variables.run(context.attach, current)
    return variables


def _current_traceparent() -> str:
    current = context.get_current()
    if current is _NOT_KEPT_CONTEXT:
        return NOT_KEPT
    span = current.get(_CURRENT_SPAN)
    return "" if span is None else traceparent_of(cast(Span, span))


def _current_trace_id() -> str:
    return "" if context.get_current() is _NOT_KEPT_CONTEXT else _current_traceparent()[3:35]


def _below(parent: str) -> Context:
    """The context of what is done for `parent`; if there is none, for nothing."""
    if parent == NOT_KEPT:
        return _NOT_KEPT_CONTEXT
    return Context({_CURRENT_SPAN: SpanElsewhere(parent)}) if parent else _NOTHING


def _with_traceparent(message: M, traceparent: str) -> M:
    if message.traceparent == traceparent:
        return message
    if isinstance(message, Struct):
        return replace(message, traceparent=traceparent)
    message.traceparent = traceparent
    return message


def _of_service(request: Any) -> dict[str, Any]:
    """What both ends say of a call."""
    return {
        "rpc.system.name": "brubeck",
        "rpc.method": f"{request.method} {request.path}",
        REQUEST_ID: request.request_id,
    }


def _readable(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$")


def _end(span: Span, status_code: int) -> None:
    if status_code >= 500:
        _fail(span, str(status_code))
    span.end()


def _fail(span: Span, error_type: str) -> None:
    """Say that a span failed; what was said first is the cause."""
    if isinstance(span, ReadableSpan) and "error.type" not in (span.attributes or {}):
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)

"""A receiver of traces, as OpenTelemetry's collector is one: OTLP over HTTP, version 1."""

import gzip
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from tests.waiting import eventually


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it arrived; ids in hexadecimal, those that are none empty."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: Mapping[str, Any]


class Receiver:
    """Takes spans in a `with` block, at `endpoint`, and answers with `status`.

    One that is `stalled` never answers.
    """

    def __init__(self, *, stalled: bool = False, status: int = 200) -> None:
        self.spans: list[ReceivedSpan] = []
        self.bodies: list[bytes] = []
        self.asked = 0
        """Batches that somebody wanted to bring."""
        self._over = threading.Event()
        self._stalled = stalled
        self._status = status
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The base of its address, as OTEL_EXPORTER_OTLP_ENDPOINT wants it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, count: int) -> list[ReceivedSpan]:
        """The spans, once so many have arrived."""
        eventually(lambda: len(self.spans) >= count, f"{count} spans arrive", seconds=15)
        return self.spans

    def _take(self, path: str, content: bytes) -> None:
        assert path == "/v1/traces"
        self.bodies.append(content)
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_received(service, span) for span in scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.asked += 1
                if receiver._stalled:
                    receiver._over.wait(60)
                    return
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                receiver._take(self.path, content)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver._status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Tests say what went wrong."""

        return Handler


def _received(service: str, span: WireSpan) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.status.code == 2,
        _values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, Any]:
    values = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        values[attribute.key] = getattr(attribute.value, kind)
    return values

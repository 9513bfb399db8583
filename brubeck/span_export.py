"""How spans leave the process: in batches, by OTLP over HTTP, to where the environment says.

`brubeck.spans` makes them. No other module than these two knows OpenTelemetry.
"""

import logging
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

logger = logging.getLogger(__name__)

_CREDENTIALS = re.compile(r"(?<=//)\S*@|(?<=\?)[^\s'\")]+")
"""In an address: who asks, and the query."""

ENCODED_AT_ONCE = 20
"""Spans of a batch: nobody else runs while so many are encoded, about a millisecond."""

_REPETITIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "urllib3")
"""Loggers that say the same for each batch that cannot be sent."""


def provider_to_receiver(ids: IdGenerator) -> TracerProvider:
    """Makes spans, and sends them in batches from a greenlet of its own.

    Raises:
        ValueError: if a variable of OpenTelemetry's is one that it refuses.
    """
    # It quotes a header that it cannot read, and headers hold credentials.
    logging.getLogger("opentelemetry.util.re").addFilter(_without_arguments)
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: Path(sys.argv[0]).stem or "python"}))
    resource = Resource({"host.name": socket.gethostname()}).merge(resource)
    provider = TracerProvider(
        resource=_HashedOnce(resource), id_generator=ids, shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(WarnsOnce(OTLPSpanExporter())))
    return provider


class WarnsOnce(SpanExporter):
    """Says in one line that spans cannot be sent, and in one that they can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._reason = _FirstWords()
        for name in _REPETITIVE:
            library = logging.getLogger(name)
            library.addHandler(self._reason)
            library.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Raises nothing: what cannot be sent is dropped."""
        self._reason.said = ""
        self._reason.listens_to = gevent.getcurrent()
        try:
            result = self._exporter.export(_Unhurried(spans))
        except Exception as error:  # noqa: BLE001  # whatever a library raises: spans are lost
            self._reason.said = type(error).__name__
            result = SpanExportResult.FAILURE
        finally:
            self._reason.listens_to = None
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            logger.warning(
                "the receiver of traces does not take them; they are dropped until it does: %s",
                self._reason.said,
            )
        elif self._failing and not failing:
            logger.info("the receiver of traces takes them again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()


class _Unhurried(list[ReadableSpan]):
    """Spans; who goes through them lets the other greenlets run now and then."""

    def __iter__(self) -> Iterator[ReadableSpan]:
        for number, span in enumerate(super().__iter__()):
            if number % ENCODED_AT_ONCE == 0:
                gevent.sleep(0)
            yield span


class _HashedOnce(Resource):
    """The SDK hashes it for every span that is sent, and each time writes it as JSON for that."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class _FirstWords(logging.Handler):
    """Keeps what a library said first of a batch: the reason. It may hold a credential.

    Of a header it keeps only that there was one, of addresses neither names nor queries.
    """

    said = ""
    listens_to: Any = None
    """The greenlet that exports, while it does: what others make urllib3 say goes the usual way."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("urllib3") and gevent.getcurrent() is not self.listens_to:
            logging.getLogger().callHandlers(record)
            return
        said = _CREDENTIALS.sub("…", record.getMessage())
        if not self.said:
            hidden = "header" in said.lower()
            self.said = "a header cannot be sent (not shown)" if hidden else said


def _without_arguments(record: logging.LogRecord) -> bool:
    record.args = ("(not shown)",)
    return True

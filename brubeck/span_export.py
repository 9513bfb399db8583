"""How spans leave the process: in batches, by OTLP over HTTP, to where the environment says.

`brubeck.spans` makes them. No other module than these two knows OpenTelemetry.
"""

import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

from brubeck import environment

logger = logging.getLogger(__name__)

BATCH_SIZE = 100
"""Spans that leave together, at most: nobody runs while they are encoded, some milliseconds."""

_REPETITIVE = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "urllib3")
"""Loggers that say the same for each batch that cannot be sent."""


def provider_to_receiver(ids: IdGenerator) -> TracerProvider:
    """Makes spans, and sends them in batches from a greenlet of its own.

    Raises:
        ValueError: if a variable of OpenTelemetry's is one that it refuses.
        SettingError: if the batch size is no number.
    """
    # It quotes a header that it cannot read, and headers hold credentials.
    logging.getLogger("opentelemetry.util.re").addFilter(_without_arguments)
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: Path(sys.argv[0]).stem or "python"}))
    resource = Resource({"host.name": socket.gethostname()}).merge(resource)
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    size = environment.integer("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SIZE)
    exporter = WarnsOnce(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=size))
    return provider


class WarnsOnce(SpanExporter):
    """Says in one line that spans cannot be sent, and in one that they can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._reason = _LastWords()
        for name in _REPETITIVE:
            library = logging.getLogger(name)
            library.addHandler(self._reason)
            library.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Raises nothing: what cannot be sent is dropped."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # whatever a library raises: spans are lost
            self._reason.said = type(error).__name__
            result = SpanExportResult.FAILURE
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


class _LastWords(logging.Handler):
    """Keeps what a library said last; of a header, which may hold a credential, only that."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self.said = "a header cannot be sent (not shown)" if "header" in said.lower() else said


def _without_arguments(record: logging.LogRecord) -> bool:
    record.args = ("(not shown)",)
    return True

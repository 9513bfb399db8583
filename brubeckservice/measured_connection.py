"""The caller's connection where calls are measured; elsewhere they pay nothing for it."""

from collections.abc import Sequence
from time import monotonic

from brubeck.metrics import ABANDONED, STATUS_CLASSES, Metrics
from brubeckservice.client_connection import ServiceClientConnection
from brubeckservice.errors import ServiceError, ServiceRefused
from brubeckservice.progress import OnProgress, OnSent
from brubeckservice.protocol import ServiceRequest, ServiceResponse


class MeasuredConnection(ServiceClientConnection):
    """Counts each call once, with its outcome, however often it was tried."""

    def __init__(
        self, addr: str | Sequence[str], passphrase: str | Sequence[str], metrics: Metrics
    ) -> None:
        super().__init__(addr, passphrase)
        self._durations = metrics.calls

    def refuse(self, request: ServiceRequest, *_how: object) -> ServiceResponse:
        """As `ServiceClientConnection.refuse`."""
        self._durations.observe((self.name, ServiceRefused.__name__), 0.0, request.request_id)
        return super().refuse(request)

    def call(
        self,
        request: ServiceRequest,
        timeout: float,
        idempotent: bool = False,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> ServiceResponse:
        """As `ServiceClientConnection.call`."""
        started = monotonic()
        try:
            response = ServiceClientConnection.call(  # `super()` is dearer
                self, request, timeout, idempotent, on_progress, on_sent
            )
        except BaseException as error:
            # TypeError and ValueError: it could not be encoded. Others: whoever called was ended.
            failed = isinstance(error, ServiceError | TypeError | ValueError)
            labels = self.name, type(error).__name__ if failed else ABANDONED
            self._durations.observe(labels, monotonic() - started, request.request_id)
            raise
        labels = self.name, STATUS_CLASSES[response.status_code]
        self._durations.observe(labels, monotonic() - started, request.request_id)
        return response

"""What a handler uses to call a service: make a request, send it, wait for the answer or not."""

import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import gevent
from msgspec.structs import replace

from brubeck.request_ids import new_request_id
from brubeck.traceparent import KEPT, NOT_KEPT_IDS, parse_traceparent
from brubeckservice import protocol
from brubeckservice.client_connection import ServiceClientConnection, seconds_of
from brubeckservice.errors import ServiceError, ServiceLost
from brubeckservice.progress import OnProgress, OnSent
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.registry import Addr, Passphrase, Services
from brubeckservice.replicas import ReplicaState

if TYPE_CHECKING:
    from brubeck.spans import Tracing

logger = logging.getLogger(__name__)


class ServiceClientMixin:
    """Calls to services, for handlers and for whatever else has an `application`.

    With an `application` (a Brubeck), connections are kept there and shared. Without one, each
    call makes its own, and no handler is told of the response.
    """

    service_timeout: float = 30.0
    """Seconds a call may take where it is not told otherwise."""

    def register_service(self, addr: Addr, passphrase: Passphrase) -> None:
        """Make a service known to the application; nothing happens if it is known already.

        `addr` is `tcp://host:port` or `ipc://path`, or a sequence of such; a host name stands
        for all its addresses. Where `passphrase` is a sequence, each replica has one of them:
        while they change it.

        Raises:
            ValueError: if it is not an address.
            RuntimeError: if called in another thread than the main one, where there is an
                application.
        """
        self._services.register(addr, passphrase)

    def unregister_service(self, addr: Addr) -> None:
        """Forget a service; calls in hand there are lost."""
        self._services.unregister(addr)

    def check_service(self, addr: Addr) -> None:
        """Return if a replica of the service is there and takes calls, though it may be full now.

        Raises:
            ServiceError: what a call would meet otherwise.
            LookupError: if the service is not registered.
        """
        connection = self._services.open(addr)
        try:
            connection.check()
        finally:
            self._services.done_with(connection)

    def replica_states(self, addr: Addr) -> list[ReplicaState]:
        """How the replicas of a service are, as the application knows them.

        Raises:
            LookupError: if the service is not registered.
        """
        connection = self._services.open(addr)
        try:
            return connection.replica_states()
        finally:
            self._services.done_with(connection)

    def create_service_request(
        self,
        path: str,
        method: str | Mapping[str, Any] = "request",
        arguments: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> ServiceRequest:
        """A request for a service.

        Also understood: `create_service_request(path, headers, body)`, where the method is
        what the headers say for METHOD, and `request` where they say nothing.

        Raises:
            ValueError: if a service has no such method.
        """
        if not isinstance(method, str):
            headers = method
            method = headers.get("METHOD", "request")
        if method not in protocol.METHODS:
            raise ValueError(f"no method of services: {method!r}")
        origin = getattr(self, "message", None)
        ids = getattr(origin, "request_id", "") or new_request_id(), _traceparent(origin)
        return ServiceRequest(0, 0, path, method, dict(headers or {}), dict(arguments or {}), *ids)

    def send_service_request(
        self,
        addr: Addr,
        request: ServiceRequest,
        timeout: float | None = None,
        idempotent: bool = False,
        *,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> tuple[ServiceResponse, Any]:
        """Call a service and wait; other greenlets go on meanwhile.

        Returns the response, and what the application's handler for it returned: None where
        it has none. `idempotent`: the call may be sent again when it was lost. `on_progress` is
        told, in this greenlet, what the service's handler says of its progress: a fraction, from
        0 to 1, and a note. `on_sent` is told which instance got the call; again, if another one
        gets it then. An exception they raise ends the call, and is raised here as it is.

        Raises:
            ServiceError: one of its kinds, if there is no response within `timeout` seconds; they
                are 24 hours at most.
            TypeError: if the payload has no JSON form.
            ValueError: if the request is too long, or the timeout no number.
            RuntimeError: if called from another thread than the application's, such as that of a
                cpu_bound method.
            LookupError: if the service is not registered.
        """
        services = self._services
        connection = services.open(addr)
        call = connection.call
        try:
            if (tracing := _tracing(self)) is not None:
                request, call = tracing.begin_call(addr, request, call)
            response = call(request, self._seconds(timeout), idempotent, on_progress, on_sent)
        finally:
            services.done_with(connection)
        return response, _handle_response(self, request, response)

    def send_service_request_nowait(
        self,
        addr: Addr,
        request: ServiceRequest,
        timeout: float | None = None,
        idempotent: bool = False,
        *,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> None:
        """Call a service and go on at once.

        The application's handler for the response runs once: with the response, or with one
        made here, of status 502, 503 or 504, if there is none. `on_progress` and `on_sent` are
        as in `send_service_request`; they run beside the caller. An exception that they raise is
        logged, and the handler's response is of status 502.

        Raises: as `send_service_request`, but no ServiceError.
        """
        seconds = seconds_of(self._seconds(timeout))
        request = _as_it_is_now(request, traced=_tracing(self) is not None)
        connection = self._services.open(addr)
        connection.check_thread()
        full = connection.background.full()
        call = connection.refuse if full else connection.call
        if (tracing := _tracing(self)) is not None:
            request, call = tracing.begin_call(addr, request, call)
        callbacks = _ending_the_call(on_progress), _ending_the_call(on_sent)
        prepared = partial(call, request, seconds, idempotent, *callbacks)
        # Refused at once, but not in this greenlet's context: it goes on with its own span.
        start = copy_context().run if full else connection.background.spawn
        start(self._call_in_background, connection, request, prepared)

    def _call_in_background(
        self,
        connection: ServiceClientConnection,
        request: ServiceRequest,
        call: Callable[[], ServiceResponse],
    ) -> None:
        if (tracing := _tracing(self)) is not None:
            tracing.resume(request.traceparent)
        try:
            response = call()
        except ServiceError as error:
            logger.warning(
                "%s %s: %s: %s",
                request.method,
                request.path,
                type(error).__name__,
                error,
                exc_info=error.__cause__,
                extra={"request_id": request.request_id},
            )
            response = _failed(request, error)
        finally:
            self._services.done_with(connection)
        _handle_response(self, request, response)

    def _seconds(self, timeout: float | None) -> float:
        return self.service_timeout if timeout is None else timeout

    @property
    def _services(self) -> Services:
        services: Services | None = self.__dict__.get("_service_registry")
        if services is None:
            application = getattr(self, "application", None)
            if application is None:
                services = Services(None)
            else:
                services = Services(application._resources, application.metrics)
            self.__dict__["_service_registry"] = services
        return services


def _tracing(caller: object) -> "Tracing | None":
    """What makes traces, where they are on."""
    return getattr(getattr(caller, "application", None), "tracing", None)


def _handle_response(caller: object, request: ServiceRequest, response: ServiceResponse) -> Any:
    """What the application's handler for a response returns; None where it has none."""
    application = getattr(caller, "application", None)
    if application is None:
        return None
    if application.tracing is None or not request.traceparent.endswith(KEPT):
        return application.handle(response)
    return application.tracing.handle_response(application, response, request.traceparent)


def _at_its_longest(request: ServiceRequest, *, traced: bool) -> ServiceRequest:
    """A request as it is sent, with the longest of all that is set when it is."""
    traceparent = max(request.traceparent, NOT_KEPT_IDS if traced else "", key=len)
    return replace(
        request,
        id=protocol.MAX_ID,
        budget=protocol.MAX_BUDGET,
        traceparent=traceparent,
        sent=protocol.MAX_ID,
        wants_progress=False,
    )


def _as_it_is_now(request: ServiceRequest, *, traced: bool) -> ServiceRequest:
    """A request that does not change with what its payload was made of.

    Raises:
        TypeError, ValueError: if it cannot be sent: it fails here and not where nobody sees.
    """
    encoded = protocol.encode(_at_its_longest(request, traced=traced))
    messages, faults = protocol.read_from_caller(protocol.join([encoded]))
    if faults:
        raise TypeError(f"cannot be sent as JSON: {faults[0]}")
    now = cast(ServiceRequest, messages[0])
    return replace(request, headers=now.headers, body=now.body)


def _ending_the_call(callback: Callable[..., object] | None) -> Callable[..., object] | None:
    """The callback of a call that nobody waits for: what it raises loses the call.

    The service may have executed it, whatever kind of error that is.
    """
    if callback is None:
        return None

    def told(*what: Any) -> None:
        try:
            callback(*what)
        except gevent.GreenletExit:
            raise
        except BaseException as error:
            name = getattr(callback, "__qualname__", repr(callback))
            raise ServiceLost(f"ended by {name}, which raised {type(error).__name__}") from error

    return told


def _failed(request: ServiceRequest, error: ServiceError) -> ServiceResponse:
    """The response to a call without one, for a handler whose caller does not wait."""
    return ServiceResponse(
        id=0,
        status_code=error.status_code,
        status_msg=str(error),
        path=request.path,
        request_id=request.request_id,
    )


def _traceparent(origin: Any) -> str:
    """The trace (W3C Trace Context) that the message being handled belongs to, if any."""
    if origin is None:
        return ""
    value = getattr(origin, "traceparent", "") or getattr(origin, "headers", {}).get(
        "traceparent", ""
    )
    return parse_traceparent(value) if isinstance(value, str) else ""

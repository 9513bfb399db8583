"""For tests of applications: handlers called in process, and stand-ins for services.

No socket and no waiting, but the real routing, the real errors and the real encoding: what
could not travel fails here too.

    with stand_in(app, "tcp://prices:9000", prices_app):
        assert call_web(app, "GET", "/price/7").status_code == 200
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gevent
from msgspec.structs import replace

from brubeck.application import Brubeck
from brubeck.connection import Connection
from brubeck.request import Request
from brubeck.request_ids import new_request_id
from brubeck.response import Response, encode
from brubeckservice import protocol
from brubeckservice.client_connection import not_sent, seconds_of
from brubeckservice.errors import ServiceError
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.progress import OnProgress, OnSent, reporter
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.registry import Addr, Services
from brubeckservice.replicas import ReplicaState

Answer = Callable[[ServiceRequest], ServiceResponse | Mapping[str, Any]]
"""Answers a request with a response, or with the payload of one that went well."""


class NoConnection(Connection):
    """A `msg_conn` for an application under test: no message ever comes."""

    def __init__(self) -> None:
        super().__init__(max_in_hand=1)


def call_web(
    app: Brubeck,
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The application's answer to a browser.

    Raises:
        TypeError, ValueError: if the answer cannot be sent, such as one with a line break in a
            header.
    """
    url = url.encode().decode("latin-1")  # as a server reads it
    path, _, query = url.partition("?")
    server = {"METHOD": method, "PATH": path, "URI": url, "QUERY": query, "VERSION": "HTTP/1.1"}
    browser = {name.lower(): value for name, value in (headers or {}).items()}
    request = Request(server | browser, body, request_id=new_request_id())
    response: Response = app.handle(request, app.base_handler)
    encode(response)
    return response


def call_service(
    app: Brubeck,
    path: str,
    method: str = "request",
    arguments: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> ServiceResponse:
    """The application's answer to another instance.

    Raises:
        TypeError: if the request or the response has no JSON form.
        ValueError: if one of them is too long.
    """
    request = ServiceRequest(
        1, 1000, path, method, dict(headers or {}), dict(arguments or {}), new_request_id()
    )
    return _over_the_wire(request, lambda r: app.handle(r, ServiceMessageHandler))


class StandIn:
    """Answers calls in the place of a service; `requests` are those it got."""

    def __init__(self, service: Brubeck | Answer | ServiceError) -> None:
        self.requests: list[ServiceRequest] = []
        self.background = _AtOnce()
        self._service = service

    def call(
        self,
        request: ServiceRequest,
        timeout: float,
        _idempotent: bool = False,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> ServiceResponse:
        """The response, or the ServiceError it stands for."""
        if timeout <= 0:
            raise not_sent(request.path)
        budget = max(1, int(seconds_of(timeout) * 1000))
        sent = replace(request, id=len(self.requests) + 1, budget=budget)
        self.requests.append(sent)
        if on_sent is not None:
            on_sent("stand-in")
        raised: list[BaseException] = []
        outer = reporter.set(on_progress and _keeping_what_it_raises(on_progress, raised))
        try:
            response = _over_the_wire(sent, self._answer)
        finally:
            reporter.reset(outer)
        if raised:
            raise raised.pop()
        return response

    def check_thread(self) -> None:
        """Any thread may call."""

    def check(self) -> None:
        """It is there, unless it stands for a ServiceError."""
        if isinstance(self._service, ServiceError):
            raise type(self._service)(*self._service.args)

    def replica_states(self) -> list[ReplicaState]:
        """One that is ready, unless it stands for a ServiceError."""
        if isinstance(self._service, ServiceError):
            return [ReplicaState("stand-in", "absent", error=str(self._service))]
        return [ReplicaState("stand-in", "ready", "stand-in")]

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, request: ServiceRequest) -> Any:
        self.check()
        if isinstance(self._service, Brubeck):
            return self._service.handle(request, ServiceMessageHandler)
        answer = self._service(request)  # type: ignore[operator]  # no error: it was checked
        if isinstance(answer, Mapping):
            return ServiceResponse(request.id, 200, "OK", request.path, body=dict(answer))
        return answer


@contextmanager
def stand_in(
    app: Brubeck, addr: Addr, service: Brubeck | Answer | ServiceError
) -> Iterator[StandIn]:
    """Have calls of `app` to `addr` answered by another application, a function, or an error.

    A call that does not wait is answered before it returns.
    """
    standing_in = StandIn(service)
    services = Services(app._resources)
    before = services.kept(addr)
    if not isinstance(before, StandIn):
        services.unregister(addr)
    services.keep(addr, standing_in)
    try:
        yield standing_in
    finally:
        services.unregister(addr)
        if isinstance(before, StandIn):  # of a block around this one
            services.keep(addr, before)


class _AtOnce:
    """Runs in the foreground what would run in the background."""

    def __len__(self) -> int:
        """Nothing is under way."""
        return 0

    def full(self) -> bool:
        """There is always room."""
        return False

    def spawn(self, work: Callable[..., None], *args: Any) -> None:
        """Run it, here and now."""
        work(*args)


def _keeping_what_it_raises(on_progress: OnProgress, raised: list[BaseException]) -> OnProgress:
    """What the service's handler reports to: what `on_progress` raises is the caller's."""

    def told(fraction: float, note: str) -> None:
        try:
            on_progress(fraction, note)
        except BaseException as error:  # noqa: BLE001  # as with a real service
            raised.append(error)
            raise gevent.GreenletExit from None

    return told


def _over_the_wire(
    request: ServiceRequest, answer: Callable[[ServiceRequest], Any]
) -> ServiceResponse:
    """What a caller gets when `request` and its answer both travel."""
    (received,), _ = protocol.read_from_caller(protocol.join([protocol.encode(request)]))
    response = answer(received)  # type: ignore[arg-type]  # what was sent
    if not isinstance(response, ServiceResponse):
        raise TypeError(f"{response!r} is no ServiceResponse")
    response = protocol.answer_to(request, response)
    (returned,), _ = protocol.read_from_service(protocol.join([protocol.encode(response)]))
    return returned  # type: ignore[return-value]  # what was answered

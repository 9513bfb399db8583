"""HTTP without Mongrel2: gevent's own WSGI server in front of the same application."""

import logging
import time
from collections.abc import Callable, Iterator
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, cast

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from brubeck.connection import MAX_IN_HAND, Connection
from brubeck.environment import SettingError
from brubeck.request import Request
from brubeck.request_ids import new_request_id
from brubeck.response import Response, header_fields

MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused with 413, as our Mongrel2 does."""

FINISH = 5.0
"""Seconds that answers may take to leave after the last one was made."""

logger = logging.getLogger(__name__)

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WSGIConnection(Connection):
    """Serves browsers at `port`, on all addresses of this host unless `host` says otherwise.

    Raises:
        ValueError: if the port is none.
    """

    def __init__(self, port: int = 6767, host: str = "") -> None:
        super().__init__(MAX_IN_HAND)
        if not 0 < port < 65536:
            raise ValueError(f"not a port: {port!r} (1 to 65535)")
        self.port = port
        self.host = host
        self._answering = 0

    def close(self) -> None:
        """Send what is waiting to be sent, and close the connections."""
        deadline = time.monotonic() + FINISH
        while self._answering and time.monotonic() < deadline:
            gevent.sleep(0.01)
        self._server.stop(timeout=0)

    def _open(self) -> None:
        self._server = WSGIServer(
            (self.host, self.port),
            self._serve,
            handler_class=_Handler,
            spawn=Pool(),
            log=None,
            error_log=logger,
        )
        try:
            self._server.start()
        except OSError as error:
            raise SettingError(f"cannot listen: {error.strerror}") from None
        logger.info("listening at port %d", self.port)

    def _refuse_new_work(self) -> None:
        self._server.close()  # browsers that come now are refused, not left waiting

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        self._answering += 1
        try:
            yield from self._answer(environ, start_response)
        finally:  # it has left, or the browser has
            self._answering -= 1

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        started = time.monotonic()
        request = Request(_headers(environ), request_id=new_request_id(), is_wsgi=True)
        refusal = _read_body(environ, request)
        response = refusal or self._response(request)
        # What follows a body that was refused need not be a request.
        closing = refusal is not None or self.stopping or request.should_close()
        server_headers = {"X-Request-ID": request.request_id}
        if closing:
            server_headers["Connection"] = "close"
        try:
            headers = header_fields(response, server_headers)
        except Exception:  # whatever a handler put into its answer
            logger.exception("cannot be sent", extra={"request_id": request.request_id})
            response = request.error_reply(500)
            headers = header_fields(response, server_headers)
        self._log_reply(request, response.status_code, started)
        start_response(f"{response.status_code} {response.status_msg}", headers)
        if request.method != "HEAD" and not response.bodiless:
            yield response.body

    def _response(self, request: Request) -> Response:
        if self._in_hand.full:
            return request.error_reply(503)
        answer: AsyncResult[Any] = AsyncResult()
        application = self._application
        self._handle(request, application.request_timeout, application.base_handler, answer.set)
        return cast(Response, answer.get())


class _Handler(WSGIHandler):
    """Keeps the path as the browser wrote it; WSGI's own PATH_INFO is decoded."""

    def handle(self) -> None:
        # Headers and body are two writes: the second must not wait until the first has arrived.
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        super().handle()

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["REQUEST_URI"] = self.path
        return environ


def _read_body(environ: dict[str, Any], request: Request) -> Response | None:
    """Give the request its body; the answer if that is refused."""
    if int(environ.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        return request.error_reply(413)
    try:
        request.body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    except OSError:  # the browser left in the middle, or sent chunks that are none
        return request.error_reply(400)
    return request.error_reply(413) if len(request.body) > MAX_BODY_BYTES else None


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """The headers as Mongrel2 names them: the server's in upper case, the browser's in lower."""
    uri = environ["REQUEST_URI"]
    headers = {
        "METHOD": environ["REQUEST_METHOD"],
        "URI": uri,
        "PATH": uri.partition("?")[0],
        "QUERY": environ.get("QUERY_STRING", ""),
        "VERSION": environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
        "REMOTE_ADDR": environ.get("REMOTE_ADDR", ""),
    }
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            headers[name[5:].replace("_", "-").lower()] = value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers

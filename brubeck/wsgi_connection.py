"""HTTP without Mongrel2: gevent's own WSGI server in front of the same application."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from gevent.event import AsyncResult
from gevent.pywsgi import WSGIHandler, WSGIServer

from brubeck.connection import MAX_IN_HAND, Connection
from brubeck.request import Request
from brubeck.request_ids import new_request_id
from brubeck.response import Response, header_fields

MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused with 413, as our Mongrel2 does."""

logger = logging.getLogger(__name__)

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WSGIConnection(Connection):
    """Serves browsers at `port`, on all addresses of this host unless `host` says otherwise."""

    def __init__(self, port: int = 6767, host: str = "") -> None:
        super().__init__(MAX_IN_HAND)
        self.port = port
        self.host = host

    def close(self) -> None:
        """Close the listening socket, and the connections that are left."""
        self._server.stop(timeout=1)

    def _open(self) -> None:
        self._server = WSGIServer(
            (self.host, self.port), self._serve, handler_class=_Handler, log=None, error_log=logger
        )
        self._server.start()
        logger.info("listening at port %d", self.port)

    def _refuse_new_work(self) -> None:
        self._server.stop_accepting()

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        started = time.monotonic()
        request = Request(_headers(environ), request_id=new_request_id(), is_wsgi=True)
        response = self._response(environ, request)
        logger.info(
            "replied %s %s %d in %.0f ms",
            request.method,
            request.path,
            response.status_code,
            (time.monotonic() - started) * 1000,
            extra={"request_id": request.request_id},
        )
        try:
            headers = header_fields(response, {"X-Request-ID": request.request_id})
        except ValueError as error:
            logger.error("cannot be sent: %s", error, extra={"request_id": request.request_id})
            response = request.error_reply(500)
            headers = header_fields(response, {"X-Request-ID": request.request_id})
        start_response(f"{response.status_code} {response.status_msg}", headers)
        return [] if request.method == "HEAD" or response.bodiless else [response.body]

    def _response(self, environ: dict[str, Any], request: Request) -> Response:
        if int(environ.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
            return request.error_reply(413)
        request.body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        if len(request.body) > MAX_BODY_BYTES:
            return request.error_reply(413)
        if self._in_hand.full:
            return request.error_reply(503)
        answer: AsyncResult[Any] = AsyncResult()
        application = self._application
        self._handle(request, application.request_timeout, application.base_handler, answer.set)
        return cast(Response, answer.get())


class _Handler(WSGIHandler):
    """Keeps the path as the browser wrote it; WSGI's own PATH_INFO is decoded."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["REQUEST_URI"] = self.path
        return environ


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

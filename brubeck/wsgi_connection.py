"""HTTP without Mongrel2: gevent's own WSGI server in front of the same application."""

import errno
import logging
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import TYPE_CHECKING, Any, cast

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from gevent.queue import Queue

from brubeck.connection import MAX_IN_HAND, Connection
from brubeck.environment import SettingError
from brubeck.in_hand import Job
from brubeck.request import Request
from brubeck.request_ids import new_request_id
from brubeck.response import Response, header_fields
from brubeck.wsgi_handler import ImpatientHandler

if TYPE_CHECKING:
    from brubeck.application import Brubeck

MAX_BODY_BYTES = 1024 * 1024
"""A longer body is refused with 413, as our Mongrel2 does."""

MAX_CONNECTIONS = 10_240
"""Browsers' connections at a time, as our Mongrel2 has; others wait."""

PIECE_BYTES = 64 * 1024
"""Of an answer: how long a browser may take for a piece, `ImpatientHandler` says."""

FINISH = 5.0
"""Seconds that answers may take to leave after the last one was made."""

logger = logging.getLogger(__name__)

_ABSOLUTE = re.compile(r"^https?://[^/?]*", re.IGNORECASE)
"""What an address has before its path where a browser gives it whole (RFC 9112, section 3.2.2)."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class WSGIConnection(Connection):
    """Serves browsers at `port`, on all addresses of this host unless `host` says otherwise.

    Raises:
        ValueError: if it is not a port.
    """

    def __init__(self, port: int = 6767, host: str = "") -> None:
        super().__init__(MAX_IN_HAND)
        if not 0 < port < 65536:
            raise ValueError(f"not a port: {port!r} (1 to 65535)")
        self.port = port
        self.host = host
        self._arriving = self._answering = 0
        self.refused["overloaded"] = 0

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
            spawn=Pool(MAX_CONNECTIONS),
            log=None,
            error_log=logger,
        )
        try:
            self._server.start()
        except OSError as error:
            raise SettingError(f"cannot listen: {error.strerror}") from None
        logger.info("listening at port %d", self.port)

    def _finish(self, application: "Brubeck", end: float) -> None:
        while self._arriving and time.monotonic() < end:
            gevent.sleep(0.01)  # it is in hand as soon as its body is there
        super()._finish(application, end)

    def _refuse_new_work(self) -> None:
        self._server.close()  # browsers that come now are refused, not left waiting

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        self._answering += 1
        answer = _Answer()
        try:
            yield from self._answer(environ, start_response, answer)
        finally:  # it has left, or the browser has
            self._answering -= 1
            answer.let_go()

    def _answer(
        self, environ: dict[str, Any], start_response: StartResponse, answer: "_Answer"
    ) -> Iterator[bytes]:
        started = time.monotonic()
        request = Request(_headers(environ), request_id=new_request_id(), is_wsgi=True)
        self._arriving += 1
        try:
            refusal = _read_body(environ, request, self._application.request_timeout)
        finally:
            self._arriving -= 1
        response = refusal or self._response(request, answer)
        # What follows a body that was refused need not be a request.
        closing = refusal is not None or self.stopping or request.closes_after(response)
        server_headers = request.id_headers
        if closing:
            server_headers["Connection"] = "close"
        try:
            headers = header_fields(response, server_headers)
        except Exception:  # whatever a handler put into its answer
            logger.exception("cannot be sent", extra={"request_id": request.request_id})
            if response.streamed:
                self._in_hand.end(answer.job)
            response = request.error_reply(500)
            headers = header_fields(response, server_headers)
        start_response(f"{response.status_code} {response.status_msg}", headers)
        if response.streamed:
            request.head_sent_at = time.monotonic()
        try:
            if request.method != "HEAD" and not response.bodiless:
                yield from self._pieces(answer) if response.streamed else _in_pieces(response.body)
        except GeneratorExit:  # the browser has left
            self._note_abandoned(request)
            raise
        except ConnectionResetError:  # its head has gone, but it was cut short
            status_code = answer.ended.status_code if answer.ended else 500
            self._note_reply(request, status_code, started)
            raise
        self._note_reply(request, response.status_code, started)

    def _pieces(self, answer: "_Answer") -> Iterator[bytes]:
        try:
            for piece in answer.pieces():
                yield from _in_pieces(piece)
        finally:  # the browser may have left before the end
            self._in_hand.end(answer.job)

    def _response(self, request: Request, answer: "_Answer") -> Response:
        """The answer; of one that is streamed, the head."""
        if self._in_hand.full:
            self.refused["overloaded"] += 1
            return request.error_reply(503)
        application = self._application
        answer.job = self._handle(
            request,
            application.request_timeout,
            application.base_handler,
            answer.end,
            stream=partial(self._stream, request, answer),
        )
        return cast(Response, answer.begun.get())

    def _stream(
        self, request: Request, answer: "_Answer", job: Job, response: Response
    ) -> Response:
        if request.method == "HEAD" or response.bodiless:
            return response  # its head is all of it

        def send(piece: bytes) -> None:
            if job.ended:  # and the handler goes on: nobody else may get what was meant for one
                raise gevent.GreenletExit
            answer.send(piece)
            self._in_hand.prolong(job, self._application.request_timeout)

        answer.begin(response)
        return self._application.stream(request, response, send)


class _Answer:
    """An answer on its way from the greenlet that makes it to the one that sends it."""

    MAX_WAITING = 16
    """Pieces that may wait until the browser has read those before them."""

    job: Job
    """What makes it."""

    def __init__(self) -> None:
        self.begun: AsyncResult[Response] = AsyncResult()
        """Its head, or all of it."""
        self.ended: Response | None = None
        """What came to its end, or what became of it instead."""

    def begin(self, response: Response) -> None:
        """Take the head of an answer that is streamed."""
        self._pieces: Queue[bytes] = Queue(self.MAX_WAITING)
        self.begun.set(response)

    def let_go(self) -> None:
        """Forget what makes it, and knows it: else bodies stay until Python looks for cycles."""
        vars(self).pop("job", None)

    def send(self, piece: bytes) -> None:
        """Take a piece of its body; wait where the browser does not read."""
        self._pieces.put(piece)

    def end(self, response: Response) -> None:
        """Take the response that came to its end, or what became of it instead."""
        self.ended = response
        if not self.begun.ready():
            self.begun.set(response)
        elif not self._pieces.full():
            self._pieces.put_nowait(b"")  # wakes who waits for a piece

    def pieces(self) -> Iterator[bytes]:
        """The pieces of its body.

        Raises:
            ConnectionResetError: if it did not come to its end; the connection must not, either.
        """
        while self.ended is None or not self._pieces.empty():
            if piece := self._pieces.get():
                yield piece
        if not self.ended.streamed:
            raise ConnectionResetError(errno.ECONNRESET, "the answer was cut short")


class _Handler(ImpatientHandler):
    """Keeps the path as the browser wrote it; WSGI's own PATH_INFO is decoded."""

    def handle(self) -> None:
        # Headers and body are two writes: the second must not wait until the first has arrived.
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        super().handle()

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if self.command == "HEAD":
            self.response_use_chunked = False  # the last chunk would be taken for an answer

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["REQUEST_URI"] = self.path
        return environ


def _in_pieces(body: bytes) -> Iterator[bytes]:
    return (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))


def _read_body(environ: dict[str, Any], request: Request, seconds: float) -> Response | None:
    """Give the request its body; the answer if that is refused, or not there after `seconds`."""
    if _wants_another_protocol(request):
        return request.error_reply(501)
    if int(environ.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        return request.error_reply(413)
    try:
        with gevent.Timeout(seconds, TimeoutError):
            request.body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    except TimeoutError:
        return request.error_reply(408)
    except OSError:  # the browser left in the middle, or sent chunks that are none
        return request.error_reply(400)
    return request.error_reply(413) if len(request.body) > MAX_BODY_BYTES else None


def _wants_another_protocol(request: Request) -> bool:
    """Whether gevent takes what follows for no body, and would have us read without end."""
    headers = request.headers
    upgrade, connection = headers.get("upgrade", ""), headers.get("connection", "")
    return upgrade.lower() == "websocket" or connection.lower() == "upgrade"


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """The headers as Mongrel2 names them: the server's in upper case, the browser's in lower."""
    uri = _ABSOLUTE.sub("", environ["REQUEST_URI"]) or "/"
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

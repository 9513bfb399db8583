"""HTTP through Mongrel2.

Requests arrive on a PULL socket and replies leave on an XPUB socket. Mongrel2's subscription,
which XPUB shows, says exactly when it listens: as a rule nothing is taken before it does, and
what was taken from a Mongrel2 that has gone is never answered, because the next one counts its
connections from 1 again and would give the answer to somebody else.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from functools import partial
from typing import TypeVar

import gevent
import zmq

from brubeck import mongrel2
from brubeck.connection import MAX_IN_HAND, Connection
from brubeck.environment import SettingError, is_address
from brubeck.health import HEALTHY
from brubeck.in_hand import Job
from brubeck.leases import Leases
from brubeck.logs import Occasionally
from brubeck.metrics import Reading
from brubeck.mongrel2 import Browser
from brubeck.request import Request
from brubeck.request_ids import new_request_id
from brubeck.response import LAST_CHUNK, Response, encode, encode_chunk
from brubeck.sockets import Inlet, Link, terminate

logger = logging.getLogger(__name__)

MAX_PIPELINED = 16
"""Requests that may wait behind another one on the same connection; one more closes it."""

MAX_HELD = 1000
"""Replies that wait for Mongrel2's subscription; one more is dropped."""

SILENCE = 1.0
"""Seconds after which a Mongrel2 that is there is served although it has not subscribed."""

L = TypeVar("L", bound=Link)


class Mongrel2Connection(Connection):
    """Serves the browsers of the Mongrel2 that PUSHes at `pull_addr` and SUBscribes at `pub_addr`.

    Both addresses are Mongrel2's (its `send_spec` and `recv_spec`).

    Raises:
        ValueError: if one of them is not an address.
    """

    def __init__(self, pull_addr: str, pub_addr: str) -> None:
        super().__init__(MAX_IN_HAND)
        for addr in (pull_addr, pub_addr):
            if not is_address(addr):
                raise ValueError(f"not an address: {addr!r} (tcp://host:port or ipc://path)")
        self.pull_addr = pull_addr
        self.pub_addr = pub_addr
        self.dropped.update(dict.fromkeys(("malformed", "too late", "unread", "not held"), 0))
        self.refused["overloaded"] = 0
        self._idents: set[bytes] = set()
        self._browsers: dict[Browser, deque[Request]] = {}
        self._jobs: dict[Browser, Job] = {}
        """The work for a browser's first request."""
        self._held: list[tuple[str, bytes]] = []
        self._complain = Occasionally(logger, logging.WARNING)
        self._date = (0, "")

    def health(self) -> str:
        """`ok` while Mongrel2 listens to the answers and may send requests."""
        if not self._idents:
            return "Mongrel2 has not subscribed"
        if not (self.stopping or (self._pull is not None and self._pull.agreed)):
            return "Mongrel2 sends no requests"
        return HEALTHY

    def readings(self) -> Iterator[Reading]:
        """How it is, for the metrics."""
        yield from super().readings()
        waiting = self._browsers.values()
        yield Reading("brubeck_leases", len(waiting) if self._leases is not None else 0)
        yield Reading("brubeck_http_requests_queued", sum(map(len, waiting)) - len(waiting))
        yield Reading("brubeck_replies_held", len(self._held))

    def reply_bulk(self, uuid: str, idents: Sequence[str], data: bytes) -> None:
        """Send the same bytes to several connections of one Mongrel2; none close them."""
        for start in range(0, len(idents), mongrel2.MAX_TARGETS):
            chunk = idents[start : start + mongrel2.MAX_TARGETS]
            self._publish(uuid, mongrel2.reply(uuid, chunk, data))

    def close(self) -> None:
        """Send what is waiting to be sent, and close the sockets."""
        self._silence.kill(block=False)
        self._close_leases()
        self._publisher.close(linger=1000)
        if self._pull is not None:
            self._pull.close()
        terminate(self._context)

    # Mongrel2 comes and goes

    def _open(self) -> None:
        self._context = zmq.Context()
        self._pull: Inlet | None = None
        self._leases: Leases | None = None
        socket = self._context.socket(zmq.XPUB)
        socket.set(zmq.XPUB_VERBOSER, 1)
        socket.set(zmq.XPUB_NODROP, 1)
        socket.set(zmq.IMMEDIATE, 1)  # a lost connection is a lost subscription
        socket.set(zmq.SNDHWM, MAX_IN_HAND)
        self._publisher = _connected(Link, socket, self.pub_addr, self._on_subscription)
        self._silence = gevent.spawn(self._break_the_silence)

    def _refuse_new_work(self) -> None:
        """Have Mongrel2 give its requests to others; take those it has given to us."""
        if self._pull is not None:
            self._pull.finish()

    def _on_subscription(self, frames: list[bytes]) -> None:
        change, topic = frames[0][:1], frames[0][1:]
        if change == b"\x01":
            logger.info("Mongrel2 listens at %s", self.pub_addr)
            self._idents.add(topic)
            if self._leases is None:
                socket = _connect(self._context.socket(zmq.PUB), self.pub_addr)
                self._leases = Leases(socket, self._browsers)
            self._take_requests()
            self._forget_others()
            held, self._held = self._held, []
            for uuid, message in held:
                self._publish(uuid, message)
        elif change == b"\x00":
            logger.warning("Mongrel2 at %s has gone, and its browsers with it", self.pub_addr)
            self._idents.discard(topic)
            self._forget_others()
            if not self._idents:
                self._close_leases()

    def _forget_others(self) -> None:
        """Forget the browsers of a Mongrel2 that has gone, and what it was to be told.

        Also when the next one comes: requests may be read after theirs was known to have gone.
        """
        here = tuple(ident.decode("latin-1") for ident in self._idents)
        self._held = [(uuid, message) for uuid, message in self._held if uuid.startswith(here)]
        for browser in [b for b in self._browsers if not b[0].startswith(here)]:
            self._forget(browser)

    def _take_requests(self) -> None:
        if self._pull is None and not self.stopping:
            socket = self._context.socket(zmq.PULL)
            self._pull = _connected(Inlet, socket, self.pull_addr, self._on_request)

    def _break_the_silence(self) -> None:
        """Take requests also where Mongrel2 is there and has not subscribed for a while.

        When it is to answer a browser that has gone, it reads nothing, our connection included,
        until it has told somebody so: it may wait for us as we wait for it.
        """
        silent = False
        while self._pull is None and not self.stopping:
            if silent and self._publisher.agreed:
                self._take_requests()
            silent = self._publisher.agreed
            gevent.sleep(SILENCE)

    def _close_leases(self) -> None:
        if self._leases is not None:
            self._leases.close()
            self._leases = None

    def _publish(self, uuid: str, message: bytes) -> bool:
        """Send a message, or hold it until Mongrel2 subscribes; False if it was dropped."""
        if message.startswith(tuple(self._idents)):
            if self._publisher.send([message]):
                return True
            self.dropped["unread"] += 1
            self._complain("Mongrel2 does not read its answers; one was dropped")
            return False
        if len(self._held) == MAX_HELD:
            self.dropped["not held"] += 1
            return False
        self._held.append((uuid, message))
        return True

    def _send_part(self, request: Request, data: bytes) -> bool:
        """Send a browser a part of its answer, or all of it.

        False if it was dropped: no other part may follow, and Mongrel2 closes the connection,
        which is not kept open any more.
        """
        message = mongrel2.reply(request.sender, [request.conn_id], data)
        sent = self._publish(request.sender, message)
        if not sent:
            self._forget((request.sender, request.conn_id))
        return sent

    # A request comes, its answer goes

    def _on_request(self, frames: list[bytes]) -> None:
        try:
            sender, conn_id, _, headers, body = message = mongrel2.parse(b"".join(frames))
        except ValueError as error:
            self.dropped["malformed"] += 1
            self._complain("%s", error)
            return
        browser = sender, conn_id
        if message.is_leave:
            self._forget(browser)
            return
        request = Request(
            headers, body, sender=sender, conn_id=conn_id, request_id=new_request_id()
        )
        waiting = self._browsers.setdefault(browser, deque())
        waiting.append(request)
        if len(waiting) == 1:
            self._start(request)
        elif len(waiting) > MAX_PIPELINED:
            self._forget(browser)
            self.close_bulk(sender, [conn_id])

    def _forget(self, browser: Browser) -> None:
        """Nobody waits there: end what is done for it, and do not begin what waits."""
        for request in self._browsers.pop(browser, ()):
            self._note_abandoned(request)
        job = self._jobs.pop(browser, None)
        if job is not None:
            self._in_hand.end(job)

    def _start(self, request: Request) -> None:
        """Handle a request; those behind it on its connection wait (RFC 9112, section 9.3.2)."""
        answer = partial(self._answer, request, time.monotonic())
        if self._in_hand.full:
            self.refused["overloaded"] += 1
            answer(request.error_reply(503))
        elif request.method.startswith(mongrel2.WEBSOCKET):
            request.headers["connection"] = "close"  # Mongrel2 expects frames on it from now on
            answer(request.error_reply(501))
        elif any(name.startswith("x-mongrel2-upload") for name in request.headers):
            answer(request.error_reply(400))  # only a forger sends these: uploads are off
        else:
            application = self._application
            self._jobs[request.sender, request.conn_id] = self._handle(
                request,
                application.request_timeout,
                application.base_handler,
                answer,
                stream=partial(self._stream, request),
            )

    def _stream(self, request: Request, job: Job, response: Response) -> Response:
        """Send the head of a response and then, as they come, the pieces of its body."""
        if request.method == "HEAD" or response.bodiless:
            return response  # its head is all of it
        response, head = self._encoded(request, response)
        if not response.streamed:
            return response  # an error's: this one cannot be sent
        request.head_sent_at = time.monotonic()
        if not self._send_part(request, head):
            return response  # nobody waits for it any more

        def send(piece: bytes) -> None:
            if job.ended:  # and the handler goes on: nobody else may get what was meant for one
                raise gevent.GreenletExit
            part = encode_chunk(piece) if request.takes_chunks else piece
            if not self._send_part(request, part):
                raise gevent.GreenletExit
            self._in_hand.prolong(job, self._application.request_timeout)

        return self._application.stream(request, response, send)

    def _answer(self, request: Request, started: float, response: Response) -> Response:
        browser = request.sender, request.conn_id
        waiting = self._browsers.get(browser)
        if not waiting or waiting[0] is not request:
            self.dropped["too late"] += 1  # `_forget` ends such work; no other gets its answer
            return response
        self._jobs.pop(browser, None)
        cut_short = request.head_sent_at > 0 and not response.streamed
        closing = cut_short or request.closes_after(response)
        sent = True
        if not request.head_sent_at:
            response, data = self._encoded(request, response)
            sent = self._send_part(request, data)
        elif request.takes_chunks and not cut_short:
            sent = self._send_part(request, LAST_CHUNK)
        if not sent:
            return response
        self._note_reply(request, response.status_code, started)
        if closing:
            self.close_bulk(request.sender, [request.conn_id])
            for unanswered in list(waiting)[1:]:
                self._note_abandoned(unanswered)
            waiting.clear()
        else:
            waiting.popleft()
        if waiting:
            self._start(waiting[0])
        else:
            del self._browsers[browser]
        return response

    def _encoded(self, request: Request, response: Response) -> tuple[Response, bytes]:
        """A response and its bytes, or those of an error if it cannot be sent."""
        try:
            return response, self._encode(request, response)
        except Exception:  # whatever a handler put into its answer
            logger.exception("cannot be sent", extra={"request_id": request.request_id})
            response = request.error_reply(500)
            return response, self._encode(request, response)

    def _encode(self, request: Request, response: Response) -> bytes:
        second = int(time.time())
        if second != self._date[0]:
            self._date = second, formatdate(second, usegmt=True)
        server_headers = {"Date": self._date[1], **request.id_headers}
        closing = request.closes_after(response)
        if request.version == "HTTP/1.0" and not closing:
            server_headers["Connection"] = "keep-alive"  # else the browser would not know
        if response.streamed and request.takes_chunks and not response.bodiless:
            server_headers["Transfer-Encoding"] = "chunked"
        return encode(
            response, head=request.method == "HEAD", close=closing, server_headers=server_headers
        )


def _connected(
    kind: type[L],
    socket: zmq.Socket[bytes],
    addr: str,
    on_message: Callable[[list[bytes]], None],
) -> L:
    """Serve a socket, and connect it: in this order, so that it is told of the connection."""
    served = kind(socket, on_message)
    try:
        _connect(socket, addr)
    except SettingError:
        served.close()
        raise
    return served


def _connect(socket: zmq.Socket[bytes], addr: str) -> zmq.Socket[bytes]:
    """Connect a socket so that it notices within seconds, on both ends, when the other has gone.

    Raises:
        SettingError: if ZeroMQ does not take the address.
    """
    socket.set(zmq.HEARTBEAT_IVL, 1000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 3000)
    socket.set(zmq.HEARTBEAT_TTL, 3000)
    socket.set(zmq.CONNECT_TIMEOUT, 1000)
    socket.set(zmq.HANDSHAKE_IVL, 3000)
    socket.set(zmq.RECONNECT_IVL, 100)
    socket.set(zmq.RECONNECT_IVL_MAX, 1000)
    try:
        socket.connect(addr)
    except zmq.ZMQError as error:
        raise SettingError(f"cannot connect: {error}") from None
    return socket

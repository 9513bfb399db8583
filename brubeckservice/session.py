"""One connection to one replica of a service, from the caller's end: one DEALER, one session.

It begins with HELLO and WELCOME and lives as long as the connection. libzmq would reconnect
by itself, and a new connection would look like the old one; so its reconnecting is put off,
the socket's monitor tells when the connection has gone, and then this session is over.
Whoever owns it opens another.
"""

import itertools
import logging
import time
from typing import Protocol

import gevent
import zmq
from zmq.utils.monitor import parse_monitor_message

from brubeck.sockets import LoopSocket
from brubeckservice import protocol
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceUnavailable,
)
from brubeckservice.keys import CURVE_BYTES, Keys
from brubeckservice.outbox import MAX_FRAMES_AHEAD, Outbox
from brubeckservice.protocol import (
    Goodbye,
    Hello,
    Ping,
    Pong,
    Progress,
    Refused,
    ServiceResponse,
    Welcome,
)

logger = logging.getLogger(__name__)

PING_INTERVAL = 1.0
"""Seconds between two pings."""
BUSY_AFTER = 2.0
"""Seconds without a word from the application after which a replica counts as busy."""
WELCOME_TIMEOUT = 3.0
"""Seconds from connecting to WELCOME."""

_FAR_OFF = 60 * 60 * 1000
"""Milliseconds. Off, -1, would throw away what has come but was not read when a connection ends."""

_REFUSED_US = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_GONE = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED


Answer = ServiceResponse | Refused | Progress


class SessionOwner(Protocol):
    """Who opens sessions, and is told, in the event loop, what becomes of them."""

    def session_changed(self, session: "Session") -> None:
        """It was welcomed; or `busy` or `draining` changed."""

    def session_answered(self, session: "Session", message: Answer) -> None:
        """An answer to a call has come, or word of its progress."""

    def session_misspoke(self, session: "Session", fault: str) -> None:
        """It said something that makes no sense."""

    def session_over(self, session: "Session", error: ServiceError) -> None:
        """The session has ended, and why."""


class Session:
    """`ready` from WELCOME on; `busy` and `draining` as last heard; `closed` in the end."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        keys: Keys,
        owner: SessionOwner,
    ) -> None:
        """Connect, and say hello.

        Raises:
            zmq.ZMQError: if there cannot be such a connection.
        """
        self.endpoint = endpoint
        self.instance = ""
        self.software = ""
        self.limit = 0
        self.load = 0
        """Calls of all callers in hand there, as last heard."""
        self.round_trip: float | None = None
        """Seconds from the last ping to its pong, if it was answered."""
        self.outstanding = 0
        """Calls in hand there; kept by the owner."""
        self.ready = False
        self.busy = False
        self.draining = False
        self.closed = False
        self._owner = owner
        self._opened = self._heard = time.monotonic()
        self._pings = itertools.count(1)
        self._pinged = 0, 0.0
        """The last ping's number, and when it was sent."""
        socket, monitor = _monitored_dealer(context, keys)
        self._raw_socket = socket
        self._monitor = LoopSocket(monitor, self._on_event)
        self._socket = LoopSocket(socket, self._on_frame)
        self._outbox = Outbox(self._send_frame)
        self._ping_timer = gevent.get_hub().loop.timer(PING_INTERVAL, PING_INTERVAL)
        self._ping_timer.start(self._on_clock)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError:
            self.close()
            raise
        self.send(protocol.encode(Hello([protocol.VERSION])))

    def __repr__(self) -> str:
        return f"{self.instance or '?'} at {self.endpoint}"

    @property
    def clock(self) -> int:
        """Milliseconds since it was opened."""
        return int((time.monotonic() - self._opened) * 1000)

    @property
    def waiting_bytes(self) -> int:
        """What the replica has not been able to take yet."""
        return self._outbox.bytes

    def send(self, message: bytes) -> bool:
        """Say an encoded message; False if the replica does not read what it has been told."""
        return not self.closed and self._outbox.append(message)

    def close(self) -> None:
        """End the session without telling the owner."""
        if not self.closed:
            self.closed = True
            self.ready = False
            self._ping_timer.close()
            self._outbox.clear()
            self._raw_socket.disable_monitor()
            self._monitor.close()
            self._socket.close()

    def _end(self, error: ServiceError) -> None:
        if not self.closed:
            self.close()
            self._owner.session_over(self, error)

    def _send_frame(self, frame: bytes) -> bool:
        return not self.closed and self._socket.send([frame])

    def _on_event(self, frames: list[bytes]) -> None:
        event = parse_monitor_message(frames)["event"]
        self._socket.read_all()  # an answer that came before the end counts
        if event & _REFUSED_US:
            self._end(
                ServiceAuthError(f"{self.endpoint} refused the handshake: another passphrase?")
            )
        elif self.ready:
            self._end(ServiceLost(f"the connection to {self.endpoint} was lost"))
        else:
            self._end(ServiceUnavailable(f"nobody answers at {self.endpoint}"))

    def _on_clock(self) -> None:
        now = time.monotonic()
        if not self.ready:
            if now - self._opened > WELCOME_TIMEOUT:
                self._end(ServiceUnavailable(f"no welcome from {self.endpoint}"))
            return
        self._ping()
        silent = now - self._heard
        # Looked at once in a ping's interval: now, if that is nearer to the time than the next one.
        self._set(busy=silent > BUSY_AFTER - PING_INTERVAL / 2, draining=self.draining)

    def _ping(self) -> None:
        self._pinged = next(self._pings), time.monotonic()
        self.send(protocol.encode(Ping(self._pinged[0], self.clock)))

    def _set(self, *, busy: bool, draining: bool) -> None:
        if (busy, draining) != (self.busy, self.draining):
            self.busy, self.draining = busy, draining
            self._owner.session_changed(self)

    def _on_frame(self, frames: list[bytes]) -> None:
        messages, faults = (
            protocol.read_from_service(frames[0]) if len(frames) == 1 else ([], ["not one frame"])
        )
        for fault in faults:
            self._owner.session_misspoke(self, fault)
        self._heard = time.monotonic()
        for message in messages:
            if self.closed:
                return
            match message:
                case ServiceResponse() | Refused() | Progress():
                    self._owner.session_answered(self, message)
                case Pong():
                    self._on_pong(message)
                case Welcome():
                    self._on_welcome(message)
                case Goodbye():
                    self._on_goodbye(message)

    def _on_welcome(self, welcome: Welcome) -> None:
        if welcome.version != protocol.VERSION:
            self._end(
                ServiceProtocolError(f"{self.endpoint} wants protocol version {welcome.version}")
            )
            return
        self.instance = welcome.instance
        self.software = welcome.software
        self.limit = welcome.limit
        self.ready = True
        self._ping()
        logger.info("connected to %s", self)
        self._owner.session_changed(self)

    def _on_goodbye(self, goodbye: Goodbye) -> None:
        kind: type[ServiceError] = ServiceRefused if goodbye.full else ServiceProtocolError
        if self.ready:
            kind = ServiceLost
        self._end(kind(f"{self.endpoint} said: {goodbye.reason}"))

    def _on_pong(self, pong: Pong) -> None:
        number, sent = self._pinged
        if pong.number == number:
            self.round_trip = self._heard - sent
        self.load = pong.load
        self._set(busy=False, draining=pong.draining)


def _monitored_dealer(
    context: "zmq.Context[zmq.Socket[bytes]]", keys: Keys
) -> "tuple[zmq.Socket[bytes], zmq.Socket[bytes]]":
    """The socket of a session, and the one that tells what becomes of its connection."""
    socket = context.socket(zmq.DEALER)
    try:
        socket.set(zmq.CURVE_SERVERKEY, keys.service.public)
        socket.set(zmq.CURVE_PUBLICKEY, keys.caller.public)
        socket.set(zmq.CURVE_SECRETKEY, keys.caller.secret)
        socket.set(zmq.RECONNECT_IVL, _FAR_OFF)
        socket.set(zmq.CONNECT_TIMEOUT, 1000)
        socket.set(zmq.HANDSHAKE_IVL, 0)  # WELCOME_TIMEOUT is for all that comes before WELCOME
        socket.set(zmq.HEARTBEAT_IVL, 1000)
        socket.set(zmq.HEARTBEAT_TIMEOUT, 3000)
        socket.set(zmq.HEARTBEAT_TTL, 3000)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, MAX_FRAMES_AHEAD)
        socket.set(zmq.MAXMSGSIZE, protocol.MAX_FRAME_BYTES + CURVE_BYTES)
        return socket, socket.get_monitor_socket(_REFUSED_US | _GONE)
    except zmq.ZMQError:
        socket.close()
        raise

"""A ZeroMQ socket served from gevent's event loop.

One owner per socket: only this class touches it. Reading happens in the loop, in batches,
without a greenlet. ZeroMQ's descriptor is edge-triggered (it tells that something changed,
once), hence three rules: read until nothing is left, look again after every send, and look
once a second whatever happens.
"""

import logging
import os
import socket as tcp
from collections.abc import Callable, Sequence
from contextlib import suppress

import gevent
import zmq
from gevent.event import Event
from gevent.threadpool import ThreadPool
from zmq.utils.monitor import parse_monitor_message

from brubeck.logs import Occasionally

logger = logging.getLogger(__name__)

_READABLE = 1  # libev's EV_READ
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)  # enumerations are slow
_BATCH = 100
"""Messages read before the rest of the process gets its turn."""


PATIENCE = 0.2
"""Seconds that an inlet which is to finish waits for a message to do so behind."""


def terminate(context: zmq.Context[zmq.Socket[bytes]], seconds: float = 2.0) -> None:
    """End a context whose sockets are closed, when what they still hold is sent.

    Waits in a thread of its own, and not for ever: libzmq 4.3.5 does wait for ever where a
    message was for a peer that left at that very moment.
    """
    ThreadPool(1, idle_task_timeout=1).spawn(context.term).wait(seconds)


class LoopSocket:
    """Calls `on_message(frames)`, in the event loop, for each message of `socket`.

    `on_message` must not wait: it starts greenlets for what takes time.
    """

    def __init__(self, socket: zmq.Socket[bytes], on_message: Callable[[list[bytes]], None]):
        self._socket = socket
        self._on_message = on_message
        self._loop = gevent.get_hub().loop
        self._descriptor = self._loop.io(socket.FD, _READABLE)
        self._descriptor.start(self._turn)
        self._fallback_timer = self._loop.timer(1.0, 1.0)
        self._fallback_timer.start(self._turn)
        self.closed = False
        self._looks_soon = False
        self._look_soon()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Hand a message to ZeroMQ; False if its queue for this peer is full.

        Raises:
            zmq.ZMQError: if there is no such peer (a mandatory ROUTER's EHOSTUNREACH).
        """
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self._look_soon()
        return True

    def read_all(self) -> None:
        """Read now, in the event loop, all that has come."""
        while self._readable():
            self._read_one()

    def close(self, linger: int = 0) -> None:
        """Close the socket; ZeroMQ goes on sending what it holds for `linger` milliseconds."""
        if not self.closed:
            self.closed = True
            self._descriptor.close()
            self._fallback_timer.close()
            self._socket.close(linger)

    def _look_soon(self) -> None:
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.run_callback(self._turn)

    def _readable(self) -> bool:
        return not self.closed and bool(int(self._socket.get(_EVENTS)) & _POLLIN)

    def _turn(self) -> None:
        self._looks_soon = False
        for _ in range(_BATCH):
            if not self._readable():
                return
            self._read_one()
        self._look_soon()

    def _read_one(self) -> None:
        frames = self._socket.recv_multipart(zmq.NOBLOCK)
        try:
            self._on_message(frames)
        except Exception:  # one bad message must not end the reading of the others
            logger.exception("a message could not be handled")


class Link(LoopSocket):
    """A socket that is connected to one peer, and goes on trying where that is of a wrong kind.

    ZeroMQ would give up for good, without a word, when it meets a socket it has nothing to say
    to: at a wrong address, or where two are swapped.
    """

    def __init__(self, socket: zmq.Socket[bytes], on_message: Callable[[list[bytes]], None]):
        super().__init__(socket, on_message)
        events = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self._monitor = LoopSocket(socket.get_monitor_socket(events), self._on_event)
        self._complain = Occasionally(logger, logging.WARNING)
        self._waits = False
        """Whether it is about to connect again."""
        self.agreed = False
        """Whether there is a connection, and the peer is of the right kind."""

    def close(self, linger: int = 0) -> None:
        """Close the socket; ZeroMQ goes on sending what it holds for `linger` milliseconds."""
        if not self.closed:
            self._socket.disable_monitor()
            self._monitor.close()
        super().close(linger)

    def _on_event(self, frames: list[bytes]) -> None:
        event = parse_monitor_message(frames)["event"]
        if event == zmq.EVENT_DISCONNECTED and not self.agreed:
            self._complain("%s takes the connection and ends it: another address?", self._addr)
            if not self._waits:
                self._waits = True
                gevent.spawn_later(1.0, self._connect_again)
        self.agreed = event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def _connect_again(self) -> None:
        self._waits = False
        if self.closed or self.agreed:
            return
        with suppress(zmq.ZMQError):  # ZeroMQ has forgotten it already
            self._socket.disconnect(self._addr)
        self._socket.connect(self._addr)

    @property
    def _addr(self) -> str:
        return self._socket.get_string(zmq.LAST_ENDPOINT)


class Inlet(Link):
    """A PULL socket that can say "no more" without losing what is on its way.

    ZeroMQ has no word for it: closing the socket throws away what the peer has sent and nobody
    has read. But TCP has one. When our half of the connection is shut down, the peer's ZeroMQ
    reads the end, gives this connection no more messages, and closes it behind the last one.

    Made before its socket is connected, to one peer.
    """

    def __init__(self, socket: zmq.Socket[bytes], on_message: Callable[[list[bytes]], None]):
        super().__init__(socket, on_message)
        self._connection: tuple[int, int] | None = None
        """The connection's descriptor and inode."""
        self._finishing = False
        self._about_to_finish = False
        self._finished = Event()

    def finish(self, seconds: float = 2.0) -> None:
        """Take what the peer has sent until it knows, for at most so long, and close.

        A message that the peer gives this connection in the moment it reads the end is lost.
        Right behind a message that is least likely: where there are others, it is their turn.
        """
        self._finishing = self._about_to_finish = True
        gevent.spawn_later(PATIENCE, self._loop.run_callback, self._begin_to_finish)
        if not self._finished.wait(seconds):
            self._loop.run_callback(self._finish)
            self._finished.wait(seconds)

    def _on_event(self, frames: list[bytes]) -> None:
        super()._on_event(frames)
        message = parse_monitor_message(frames)
        if message["event"] == zmq.EVENT_CONNECTED:
            self._connection = _identified(message["value"])
        elif message["event"] == zmq.EVENT_DISCONNECTED:
            self._connection = None
        if self._finishing:  # when all events are read: it may be connected again already
            self._loop.run_callback(self._finish_unless_connected)

    def _read_one(self) -> None:
        super()._read_one()
        if self._about_to_finish:
            self._loop.run_callback(self._begin_to_finish)

    def _begin_to_finish(self) -> None:
        if self._about_to_finish:
            self._about_to_finish = False
            self._finish_unless_connected()

    def _finish_unless_connected(self) -> None:
        self._monitor.read_all()
        if self.closed or not self._half_close():
            self._finish()

    def _finish(self) -> None:
        if not self.closed:
            self.read_all()
            self.close()
        self._finished.set()

    def _half_close(self) -> bool:
        """Shut down our half, if there is a connection: libzmq's, so only if it is still that."""
        if self._connection is None or _identified(self._connection[0]) != self._connection:
            return False
        try:
            with tcp.socket(fileno=os.dup(self._connection[0])) as connection:
                connection.shutdown(tcp.SHUT_WR)
        except OSError:  # it ended meanwhile
            return False
        return True


def _identified(descriptor: int) -> tuple[int, int] | None:
    try:
        return descriptor, os.fstat(descriptor).st_ino
    except OSError:
        return None

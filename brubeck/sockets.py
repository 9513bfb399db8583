"""A ZeroMQ socket served from gevent's event loop.

One owner per socket: only this class touches it. Reading happens in the loop, in batches,
without a greenlet. ZeroMQ's descriptor is edge-triggered (it tells that something changed,
once), hence three rules: read until nothing is left, look again after every send, and look
once a second whatever happens.
"""

import logging
from collections.abc import Callable, Sequence

import gevent
import zmq
from gevent.threadpool import ThreadPool

logger = logging.getLogger(__name__)

_READABLE = 1  # libev's EV_READ
_BATCH = 100
"""Messages read before the rest of the process gets its turn."""


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
        self._belt = self._loop.timer(1.0, 1.0)
        self._belt.start(self._turn)
        self.closed = False
        self._loop.run_callback(self._turn)

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
            self._look_again()
        return True

    def read_all(self) -> None:
        """Read now, in the event loop, all that has come."""
        while self._read_one():
            pass

    def close(self, linger: int = 0) -> None:
        """Close the socket; ZeroMQ goes on sending what it holds for `linger` milliseconds."""
        if not self.closed:
            self.closed = True
            self._descriptor.close()
            self._belt.close()
            self._socket.close(linger)

    def _look_again(self) -> None:
        if not self.closed and int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.run_callback(self._turn)

    def _turn(self) -> None:
        for _ in range(_BATCH):
            if not self._read_one():
                return
        self._loop.run_callback(self._turn)

    def _read_one(self) -> bool:
        if self.closed:
            return False
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        try:
            self._on_message(frames)
        except Exception:  # one bad message must not end the reading of the others
            logger.exception("a message could not be handled")
        return True

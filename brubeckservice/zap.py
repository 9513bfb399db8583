"""Admits only callers that hold the derived key (ZAP, ZeroMQ RFC 27).

`zmq.auth` does not work under gevent, and this is all it takes. It must be open before the
service's socket is bound, in the same context; without it nobody gets in.
"""

import logging

import zmq
from zmq.utils import z85

from brubeck.logs import Occasionally
from brubeck.sockets import LoopSocket

ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"brubeck-services"

logger = logging.getLogger(__name__)


class ZapHandler:
    """Answers the authentication requests of one context."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", caller_key: bytes) -> None:
        self._caller_key = z85.decode(caller_key)
        self._complain = Occasionally(logger, logging.WARNING)
        socket = context.socket(zmq.REP)
        socket.bind(ENDPOINT)
        self._socket = LoopSocket(socket, self._on_request)
        self._monitor: LoopSocket | None = None

    def watch(self, listener: "zmq.Socket[bytes]") -> None:
        """Tell also of peers that do not get as far as asking: they lack the service's key."""
        monitor = listener.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
        self._monitor = LoopSocket(monitor, self._on_failed_handshake)

    def close(self) -> None:
        """Admit nobody any more."""
        self._socket.close()
        if self._monitor is not None:
            self._monitor.close()

    def _on_failed_handshake(self, _event: list[bytes]) -> None:
        # libzmq says the same of a message that was altered on its way.
        self._complain("a peer does not know the passphrase, or what it said was altered")

    def _on_request(self, frames: list[bytes]) -> None:
        admitted = len(frames) == 7 and self._admits(frames)
        if not admitted:
            self._complain("a peer with a foreign key was refused")
        status, text = (b"200", b"OK") if admitted else (b"400", b"unknown key")
        request_id = frames[1] if len(frames) > 1 else b""
        self._socket.send([b"1.0", request_id, status, text, b"caller" if admitted else b"", b""])

    def _admits(self, frames: list[bytes]) -> bool:
        version, _, domain, _, _, mechanism, key = frames
        return (version, domain, mechanism) == (
            b"1.0",
            DOMAIN,
            b"CURVE",
        ) and key == self._caller_key

"""Somebody in the middle of a tcp connection, who listens and may meddle."""

from collections.abc import Callable

import gevent
from gevent import socket
from gevent.server import StreamServer

from brubeckservice.addresses import parse_address


def unchanged(data: bytes) -> bytes:
    """What an honest relay passes on."""
    return data


class Relay:
    """Passes on between `addr` and the service at `target`, and keeps what went by."""

    def __init__(self, target: str) -> None:
        _, host, port = parse_address(target)
        self._target = (host, port)
        self.said_by_caller = bytearray()
        self.said_by_service = bytearray()
        self.meddle: Callable[[bytes], bytes] = unchanged
        """What becomes of the bytes of a caller."""
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.addr = f"tcp://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End all connections."""
        self._server.stop(timeout=0)

    def _serve(self, caller: socket.socket, _: object) -> None:
        with socket.create_connection(self._target) as service:
            pumps = [
                gevent.spawn(self._pump, caller, service, self.said_by_caller, self._meddle),
                gevent.spawn(self._pump, service, caller, self.said_by_service, unchanged),
            ]
            try:
                gevent.joinall(pumps, count=1)
            finally:
                gevent.killall(pumps)
                caller.close()

    def _meddle(self, data: bytes) -> bytes:
        return self.meddle(data)

    @staticmethod
    def _pump(
        source: socket.socket,
        sink: socket.socket,
        record: bytearray,
        change: Callable[[bytes], bytes],
    ) -> None:
        try:
            while data := source.recv(65536):
                record += data
                sink.sendall(change(data))
        except OSError:
            pass  # an end that goes ends the other one

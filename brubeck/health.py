"""A line for health checks: connect, and read `ok` or what is wrong.

The event loop itself answers, so a process whose loop is stuck does not look alive.
"""

from collections.abc import Callable

from gevent.server import StreamServer
from gevent.socket import socket

HEALTHY = "ok"


def serve_health(port: int, state: Callable[[], str]) -> StreamServer:
    """Answer each connection to `port` on this host with the line `state` returns."""

    def answer(connection: socket, _address: object) -> None:
        connection.settimeout(2)
        connection.sendall(state().encode() + b"\n")
        connection.close()

    server = StreamServer(("127.0.0.1", port), answer)
    server.start()
    return server

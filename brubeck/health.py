"""A line for health checks: connect, and read `ok` or what is wrong.

The event loop itself answers, so a process whose loop is stuck does not look alive.
"""

from collections.abc import Callable

from gevent.server import StreamServer
from gevent.socket import socket

from brubeck.environment import SettingError, check_port

HEALTHY = "ok"


def serve_health(port: int, state: Callable[[], str]) -> StreamServer:
    """Answer each connection to `port` on this host with the line `state` returns.

    Raises:
        SettingError: if it is not a port, or somebody else listens there.
    """

    def answer(connection: socket, _address: object) -> None:
        connection.settimeout(2)
        connection.sendall(state().encode() + b"\n")
        connection.close()

    check_port("health_port", port)
    server = StreamServer(("127.0.0.1", port), answer)
    try:
        server.start()
    except OSError as error:
        raise SettingError(f"health_port: cannot listen: {error.strerror}") from None
    return server

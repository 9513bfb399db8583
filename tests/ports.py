"""Ports of this machine."""

import socket

_given: set[int] = set()


def free_port() -> int:
    """One that nobody listens on, and that was not given out before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:  # until somebody listens on it, the kernel may choose it again
            _given.add(port)
            return port


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

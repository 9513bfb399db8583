"""What a service's address means: the endpoints of its replicas.

DNS is the only discovery. ZeroMQ would connect to the first address of a name only, and
resolve it in the thread that serves all sockets; so names are resolved here, all addresses
of them, and ZeroMQ gets numbers.
"""

import socket
from typing import NamedTuple

from brubeck.environment import is_address


class Address(NamedTuple):
    """`tcp` with a host and a port, or `ipc` with a path as its host and port 0."""

    transport: str
    host: str
    port: int

    @property
    def endpoint(self) -> str:
        """The address as ZeroMQ writes it."""
        return f"tcp://{self.host}:{self.port}" if self.transport == "tcp" else f"ipc://{self.host}"


def parse_address(addr: str) -> Address:
    """Read `tcp://host:port`, with or without a `/name` behind it, or `ipc://path`.

    Raises:
        ValueError: if it is neither.
    """
    if not is_address(addr):
        raise ValueError(f"not a service address: {addr!r} (tcp://host:port or ipc://path)")
    transport, _, rest = addr.partition("://")
    if transport == "ipc":
        return Address("ipc", rest, 0)
    host, _, port = rest.partition("/")[0].rpartition(":")
    return Address("tcp", host, int(port))


def resolve(address: Address) -> set[str]:
    """The endpoints of all replicas an address stands for; waits for the name service.

    Raises:
        OSError: if the name cannot be resolved.
    """
    if address.transport == "ipc":
        return {address.endpoint}
    found = socket.getaddrinfo(
        address.host, address.port, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    return {address._replace(host=str(sockaddr[0])).endpoint for *_, sockaddr in found}

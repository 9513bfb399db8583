"""Two Brubeck instances in this process, as a test needs them: one that serves, one that calls."""

from collections.abc import Sequence
from typing import Any

import gevent

from brubeck.request_handling import Brubeck
from brubeckservice.base import (
    ServiceClientConnection,
    ServiceClientMixin,
    ServiceConnection,
    ServiceMessageHandler,
    ServiceRequest,
    ServiceResponse,
)
from brubeckservice.session import Session
from brubeckservice.testing import NoConnection
from tests.ports import free_port
from tests.waiting import eventually

PASSPHRASE = "correct horse battery staple, said nobody in earnest"

Routes = Sequence[tuple[str, type]]


class Echo(ServiceMessageHandler):
    """Answers with the arguments it got, after `seconds`."""

    def request(self) -> ServiceResponse:
        gevent.sleep(self.message.get_argument("seconds", 0))
        for name, value in self.message.arguments.items():
            self.add_to_payload(name, value)
        self.set_status(200, "echoed")
        return self.render()


ECHO: Routes = ((r"^/echo$", Echo),)


def free_address() -> str:
    """Where nobody listens."""
    return f"tcp://127.0.0.1:{free_port()}"


class Service:
    """A service that listens when this returns, until `stop`."""

    def __init__(
        self,
        routes: Routes = ECHO,
        *,
        addr: str | None = None,
        passphrase: str = PASSPHRASE,
        drain_timeout: float = 5.0,
        **options: Any,
    ) -> None:
        self.addr = addr or free_address()
        self.connection = ServiceConnection(self.addr, passphrase, **options)
        self.application = Brubeck(self.connection, routes, drain_timeout=drain_timeout)
        self._life = gevent.spawn(self.connection.recv_forever_ever, self.application)
        gevent.sleep(0)  # it opens its sockets in its first turn
        if self._life.ready():
            self._life.get()

    @property
    def in_hand(self) -> int:
        """Requests being handled."""
        return len(self.connection._in_hand)

    @property
    def callers(self) -> int:
        """Sessions that callers have with it."""
        return len(self.connection._callers)

    def stop(self, *, seconds: float = 10.0) -> None:
        """Let it finish what it has in hand, and wait for its end."""
        self.begin_to_stop()
        self.wait_for_end(seconds)

    def begin_to_stop(self) -> None:
        """Do what SIGTERM does."""
        self.connection.stop()

    def wait_for_end(self, seconds: float) -> None:
        """Wait until its sockets are closed."""
        self._life.get(timeout=seconds)
        close_connections_of(self.application)


class Caller(ServiceClientMixin):
    """Calls services, with an application that has `routes` for the responses."""

    def __init__(self, routes: Routes = (), *, passphrase: str = PASSPHRASE) -> None:
        self.application = Brubeck(NoConnection(), routes)
        self._passphrase = passphrase

    def ask(
        self,
        addr: str | Sequence[str],
        path: str = "/echo",
        arguments: dict[str, Any] | None = None,
        *,
        method: str = "request",
        timeout: float = 10.0,
        **options: Any,
    ) -> tuple[ServiceResponse, Any]:
        """Call and wait for the response, and what the application's handler made of it."""
        self.register_service(addr, self._passphrase)
        request = self.create_service_request(path, method, arguments)
        return self.send_service_request(addr, request, timeout, **options)

    def tell(
        self,
        addr: str | Sequence[str],
        path: str = "/echo",
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float = 10.0,
    ) -> ServiceRequest:
        """Call and go on."""
        self.register_service(addr, self._passphrase)
        request = self.create_service_request(path, "request", arguments)
        self.send_service_request_nowait(addr, request, timeout)
        return request

    def connection(self, addr: str | Sequence[str]) -> ServiceClientConnection:
        """The connection kept for an address."""
        self.register_service(addr, self._passphrase)
        return self._services.open(addr)

    def sessions(self, addr: str | Sequence[str]) -> list[Session]:
        """What it has with the replicas there."""
        return self.connection(addr).replicas._sessions()

    def wait_for_replicas(self, addr: str | Sequence[str], count: int) -> None:
        """Wait until this many replicas take calls."""
        replicas = self.connection(addr).replicas
        eventually(lambda: len(replicas) == count, f"{count} replicas are there", seconds=10)

    def waiting(self) -> int:
        """Calls without an outcome yet."""
        return sum(len(c.pending) for c in self.application._resources.values())

    def close(self) -> None:
        """Close all connections; no call may be left over."""
        assert self.waiting() == 0
        close_connections_of(self.application)


def close_connections_of(application: Brubeck) -> None:
    """Do what `Brubeck.run` does at its end."""
    for connection in application._resources.values():
        connection.close()
    gevent.sleep(0)  # they close in their event loop

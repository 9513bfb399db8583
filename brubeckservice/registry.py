"""Which services an application calls: one connection for each, shared by all its handlers.

They live in `application._resources`. What has no application has no place to keep one:
its connections last one call.
"""

from collections.abc import Sequence
from typing import Any

import gevent

from brubeck.metrics import Metrics
from brubeckservice.client_connection import ServiceClientConnection
from brubeckservice.measured_connection import MeasuredConnection

Addr = str | Sequence[str]

Passphrase = str | Sequence[str]


class Services:
    """The services that one caller has registered.

    Args:
        resources: where connections are kept, or None if each is for one call.
        metrics: where the calls of those that are kept are counted, if anywhere.
    """

    def __init__(self, resources: dict[Any, Any] | None, metrics: Metrics | None = None) -> None:
        self._resources = resources
        self._metrics = metrics
        self._passphrases: dict[Any, Passphrase] = {}

    def register(self, addr: Addr, passphrase: Passphrase) -> None:
        """Make a service known; nothing happens if it is known already.

        Raises:
            ValueError: if it is not an address.
            RuntimeError: if it is to be kept, and this is another thread than the main one.
        """
        if self._resources is None:
            self._passphrases.setdefault(_key(addr), passphrase)
        elif _key(addr) not in self._resources:
            if not gevent.get_hub().main_hub:  # nobody else could call through its connection
                raise RuntimeError(
                    "register_service in another thread, such as a cpu_bound method's"
                )
            self.keep(addr, self._new_connection(addr, passphrase))

    def _new_connection(self, addr: Addr, passphrase: Passphrase) -> ServiceClientConnection:
        if self._metrics is None:
            return ServiceClientConnection(addr, passphrase)
        return MeasuredConnection(addr, passphrase, self._metrics)

    def keep(self, addr: Addr, connection: Any) -> None:
        """Have calls to `addr` go through this connection."""
        if self._resources is not None:
            self._resources[_key(addr)] = connection

    def kept(self, addr: Addr) -> ServiceClientConnection | None:
        """The connection that calls to `addr` go through, if there is one already."""
        return None if self._resources is None else self._resources.get(_key(addr))

    def unregister(self, addr: Addr) -> None:
        """Forget a service; calls in hand there are lost. Nothing happens if it is not known."""
        self._passphrases.pop(_key(addr), None)
        if self._resources is not None and (connection := self._resources.pop(_key(addr), None)):
            connection.close()

    def open(self, addr: Addr) -> ServiceClientConnection:
        """The connection to a registered service; `done_with` follows.

        Raises:
            LookupError: if it is not registered.
        """
        return self.kept(addr) or self._for_one_call(addr)

    def _for_one_call(self, addr: Addr) -> ServiceClientConnection:
        passphrase = self._passphrases.get(_key(addr))
        if passphrase is None:
            raise LookupError(f"{addr} is not registered: call register_service first")
        return ServiceClientConnection(addr, passphrase)

    def done_with(self, connection: ServiceClientConnection) -> None:
        """Close a connection that is kept nowhere."""
        if self._resources is None:
            connection.close()


def _key(addr: Addr) -> tuple[str, ...]:
    return (addr,) if isinstance(addr, str) else tuple(addr)

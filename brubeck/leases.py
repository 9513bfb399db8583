"""Keeps the connections of browsers open while their answers are being made.

Mongrel2 closes connections that are silent for `limits.min_ping` seconds. A lease for every
request in hand, renewed more often than that, keeps them open as long as this process lives: so
slow answers may take their time, and browsers learn within seconds when their application has
died. A native thread renews them, because a handler that computes holds up the event loop.

Renewals also find out who works for a browser that has gone. Mongrel2 says that it has gone to
one application only, any of them, and once more, to the next one in turn, at each renewal.
"""

import random
from collections.abc import Collection

import zmq
from gevent import monkey

from brubeck import mongrel2
from brubeck.mongrel2 import Browser

INTERVAL = 0.5
"""Seconds between renewals; Mongrel2's `limits.min_ping` must be several times this."""


class Leases:
    """Renews, until it is closed, the leases of whatever `browsers` holds at the time.

    Owns `socket`, a PUB socket that is connected to Mongrel2.
    """

    def __init__(self, socket: zmq.Socket[bytes], browsers: Collection[Browser]) -> None:
        self._socket = socket
        self._browsers = browsers
        # A lock of Python's own, held until `close`: gevent's do not work between native threads.
        self._until_closed = monkey.get_original("_thread", "allocate_lock")()
        self._until_closed.acquire()
        monkey.get_original("_thread", "start_new_thread")(self._renew_until_closed, ())

    def close(self) -> None:
        """End all leases, and close the socket soon."""
        self._until_closed.release()

    # In the native thread

    def _renew_until_closed(self) -> None:
        while not self._until_closed.acquire(timeout=INTERVAL):
            # Once each would do, were it not that two applications could go on in step for ever,
            # each being told of the other's browsers.
            times = random.randint(1, 3)  # noqa: S311  # no secret
            browsers = [browser for browser in list(self._browsers) for _ in range(times)]
            for message in mongrel2.keep_alive(browsers):
                self._socket.send(message)  # a PUB socket never waits: it drops instead
        self._socket.close(linger=0)

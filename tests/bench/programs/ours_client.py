"""Brubeck Services: the caller, a greenlet per worker."""

import os
from typing import Any

import gevent
from load import Load, Payload, Tally, work

from brubeck import logs
from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceClientMixin, ServiceMessageHandler
from brubeckservice.testing import NoConnection


class Echoed(ServiceMessageHandler):
    """Told of every response, as in the seed's program."""

    def response(self) -> Any:
        """See the response."""
        return self.render()


class Caller(ServiceClientMixin):
    """Calls the service."""

    service_timeout = 60.0

    def __init__(self, address: str) -> None:
        self.application = Brubeck(NoConnection(), [(r"^/echo$", Echoed)])
        self.address = address
        self.register_service(address, "a passphrase for the bench only")

    def call(self, payload: Payload) -> Payload:
        """The echo of `payload`."""
        request = self.create_service_request("/echo", "request", payload)
        response, _ = self.send_service_request(self.address, request)
        return response.body


def main() -> None:
    """Run the workers."""
    logs.configure(os.environ.get("LOG_LEVEL", "WARNING"), "text")
    load = Load.asked_for()
    caller = Caller(load.address)
    caller.check_service(load.address)
    tally = Tally(load)
    gevent.joinall([gevent.spawn(work, caller.call, tally) for _ in range(load.at_once)])
    tally.report()


if __name__ == "__main__":
    main()

"""Brubeck Services: the caller, a greenlet for each worker."""

import gevent

from brubeck import environment, logs, tracing
from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceClientMixin
from brubeckservice.testing import NoConnection
from tests.bench.programs.load import Load, Payload, Tally, work
from tests.bench.programs.ours_service import PASSPHRASE, metrics_port


class Caller(ServiceClientMixin):
    """Calls the service."""

    service_timeout = 60.0

    def __init__(self, address: str, path: str) -> None:
        self.application = Brubeck(NoConnection(), metrics_port=metrics_port())
        addresses = address.split(",")
        self.address = addresses[0] if len(addresses) == 1 else tuple(addresses)
        self.path = path
        self.register_service(self.address, PASSPHRASE)

    def call(self, payload: Payload, path: str = "") -> Payload:
        """The echo of `payload`."""
        request = self.create_service_request(path or self.path, "request", payload)
        response, _ = self.send_service_request(self.address, request)
        return response.body


def main() -> None:
    """Run the workers."""
    logs.configure(environment.text("LOG_LEVEL"), environment.text("LOG_FORMAT"))
    load = Load.asked_for()
    caller = Caller(load.address, load.path)
    caller.application.tracing = tracing.start()
    caller.check_service(caller.address)
    for _ in range(load.held):
        gevent.spawn(caller.call, load.payload, "/held")
    gevent.sleep(load.held / 5000)
    tally = Tally(load)
    gevent.joinall([gevent.spawn(work, caller.call, tally) for _ in range(load.at_once)])
    tally.report()


if __name__ == "__main__":
    main()

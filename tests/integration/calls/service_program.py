"""A service of its own process, for tests that kill or freeze it."""

import os
import time

from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceConnection, ServiceMessageHandler, ServiceResponse
from tests.integration.calls.instances import ECHO, PASSPHRASE


class Compute(ServiceMessageHandler):
    """Computes in a native thread, so that nothing else waits."""

    cpu_bound = True

    def request(self) -> ServiceResponse:
        end = time.monotonic() + self.message.get_argument("seconds")
        while time.monotonic() < end:
            sum(range(1000))
        self.set_status(200)
        return self.render()


class Hog(Compute):
    """Computes where everything else has to wait for it."""

    cpu_bound = False


app = Brubeck(
    msg_conn=ServiceConnection(os.environ["ADDR"], PASSPHRASE),
    handler_tuples=[*ECHO, (r"^/compute$", Compute), (r"^/hog$", Hog)],
)

if __name__ == "__main__":
    app.run()

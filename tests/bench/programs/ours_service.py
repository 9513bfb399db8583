"""Brubeck Services: an echo service. `ours_service.py ADDRESS SECONDS`."""

import os
import sys
from typing import Any

from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceConnection, ServiceMessageHandler, coro_sleep

ADDRESS, SECONDS = sys.argv[1], float(sys.argv[2])


class Echo(ServiceMessageHandler):
    """Returns the text, a while later."""

    def request(self) -> Any:
        """Answer a call."""
        if SECONDS:
            coro_sleep(SECONDS)
        self.add_to_payload("text", self.message.get_argument("text"))
        self.set_status(200)
        return self.render()


app = Brubeck(
    msg_conn=ServiceConnection(ADDRESS, "a passphrase for the bench only", max_in_flight=50_000),
    handler_tuples=[(r"^/echo$", Echo)],
    log_level=os.environ.get("LOG_LEVEL", "WARNING"),
)

if __name__ == "__main__":
    app.run()

"""Brubeck Services: pages behind Mongrel2 that call the service.

`ours_pages PULL_ADDRESS PUB_ADDRESS SERVICE_ADDRESS`; /plain is answered without a call.
"""

import sys
from typing import Any

from brubeck import environment
from brubeck.connections import Mongrel2Connection
from brubeck.request_handling import Brubeck, WebMessageHandler
from brubeckservice.base import ServiceClientMixin
from tests.bench.programs.ours_service import PASSPHRASE, metrics_port

TEXT = "x" * 59


class Page(ServiceClientMixin, WebMessageHandler):
    """Calls the service and shows what came back."""

    def prepare(self) -> None:
        """Make the service known."""
        self.register_service(service_address, PASSPHRASE)

    def get(self) -> Any:
        """Answer a browser."""
        request = self.create_service_request("/echo", "request", {"text": TEXT})
        response, _ = self.send_service_request(service_address, request)
        self.set_body(response.get_argument("text"), status_code=response.status_code)
        return self.render()


class Plain(WebMessageHandler):
    """A page without a call."""

    def get(self) -> Any:
        """Answer a browser."""
        self.set_body(TEXT)
        return self.render()


if __name__ == "__main__":
    pull_address, pub_address, service_address = sys.argv[1:]
    Brubeck(
        msg_conn=Mongrel2Connection(pull_address, pub_address),
        handler_tuples=[(r"^/$", Page), (r"^/plain$", Plain)],
        log_level=environment.text("LOG_LEVEL"),
        log_format=environment.text("LOG_FORMAT"),
        metrics_port=metrics_port(),
    ).run()

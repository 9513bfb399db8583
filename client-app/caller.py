"""What all pages of this site have in common, and those that call the service."""

from brubeck import environment
from brubeck.request_handling import WebMessageHandler
from brubeck.templating import Jinja2Rendering
from brubeckservice.base import ServiceClientMixin, ServiceRequest

SLOW_PATH = "/service/slow"

service_addr = environment.address("SLOW_SERVICE_ADDR")
service_passphrases = environment.secrets("SERVICE_PASSPHRASE_FILE")
service_timeout = environment.number("SERVICE_TIMEOUT", 30.0, least=0.1)


class Page(Jinja2Rendering, WebMessageHandler):
    """A page of this site; everything it shows comes from this site."""

    def initialize(self) -> None:
        self.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; "
            "script-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        self.headers["Referrer-Policy"] = "same-origin"
        self.headers["Cache-Control"] = "no-store"


class ServiceCaller(ServiceClientMixin, Page):
    """A page that calls the service."""

    service_timeout = service_timeout

    def prepare(self) -> None:
        self.register_service(service_addr, service_passphrases)

    def slow_echo(self, text: str) -> ServiceRequest:
        """The request that brings `text` back after a while."""
        return self.create_service_request(SLOW_PATH, "request", {"RETURN_DATA": text})

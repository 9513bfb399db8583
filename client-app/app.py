"""The client app: web pages that hand slow work to the slow-echo service.

The seed's demonstration, as one runs it in earnest: the settings come from the environment,
a call that fails is answered with its status, and two pages tell how the process is.
"""

import logging
import mimetypes
import time
from pathlib import Path
from typing import Any

import live
from brubeck import environment
from brubeck.connections import Mongrel2Connection, WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler
from brubeck.templating import load_jinja2_env
from brubeckservice.base import ServiceClientMixin, ServiceError, ServiceMessageHandler
from caller import (
    SLOW_PATH,
    Page,
    ServiceCaller,
    service_addr,
    service_passphrases,
    service_timeout,
)
from followed import response_arrived

logger = logging.getLogger("client_app")

SYNC_TEXT = "I made a round trip, it took a while but I bring results."
ASYNC_TEXT = "I made a round trip, it took so long I will respond to no one."

slow_seconds = environment.number("SLOW_SECONDS", 5.0)


class FrontPage(Page):
    """What this is, and the two links."""

    def get(self) -> Any:
        return self.render_template("index.html", slow_seconds=slow_seconds)


class CallAndWait(ServiceCaller):
    """Calls the service and shows what came back. Only this request waits."""

    def get(self) -> Any:
        started = time.monotonic()
        response, _ = self.send_service_request(service_addr, self.slow_echo(SYNC_TEXT))
        if response.status_code != self._SUCCESS_CODE:
            return self.render_error(response.status_code)
        return self.render_template(
            "success.html",
            kind="sync",
            name=response.get_argument("RETURN_DATA"),
            elapsed=time.monotonic() - started,
            replica=response.get_argument("SERVED_BY"),
            status_code=response.status_code,
            status_msg=response.status_msg,
            request_id=self.message.request_id,
        )


class CallAndCarryOn(ServiceCaller):
    """Calls the service and answers at once; SlowEchoResponse sees the response."""

    def get(self) -> Any:
        started = time.monotonic()
        self.send_service_request_nowait(service_addr, self.slow_echo(ASYNC_TEXT))
        return self.render_template(
            "success.html",
            kind="async",
            name="Async is faster, but ... nothing to report on my trip.",
            elapsed=time.monotonic() - started,
            replica=None,
            request_id=self.message.request_id,
        )


class SlowEchoResponse(ServiceMessageHandler):
    """Told of every response of the service, also when no browser waits for it."""

    def response(self) -> Any:
        text = self.message.get_argument("RETURN_DATA")
        logger.info(
            "the response arrived: %d %s: %s",
            self.status_code,
            self.status_msg,
            text,
            extra={"request_id": self.message.request_id},
        )
        response_arrived(self.message.request_id, self.status_code, self.status_msg)
        return self.render()


class Alive(WebMessageHandler):
    """/healthz: this process answers."""

    def get(self) -> Any:
        self.set_body("ok\n", {"Content-Type": "text/plain; charset=utf-8"})
        return self.render()


class Ready(ServiceClientMixin, WebMessageHandler):
    """/readyz: a call to the service would be taken, or why not."""

    def get(self) -> Any:
        self.headers["Content-Type"] = "text/plain; charset=utf-8"
        try:
            self.register_service(service_addr, service_passphrases)
            self.check_service(service_addr)
        except ServiceError as error:
            self.set_body(f"not ready: {type(error).__name__}\n", status_code=503)
        else:
            self.set_body("ok\n")
        return self.render()


class StaticFile(WebMessageHandler):
    """The stylesheet and the icons, where no Mongrel2 in front serves them."""

    FOLDER = Path(__file__).parent.parent / "mongrel2" / "static"

    def get(self, name: str) -> Any:
        file = self.FOLDER / name
        if not file.is_file():
            return self.render_error(404)
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.set_body(file.read_bytes(), {"Content-Type": content_type})
        return self.render()


def web_server() -> Mongrel2Connection | WSGIConnection:
    """Mongrel2, or a server of our own where WSGI_PORT says so."""
    if port := environment.port("WSGI_PORT", 0):
        return WSGIConnection(port, "127.0.0.1")
    return Mongrel2Connection(
        environment.address("MONGREL2_PULL_ADDR"), environment.address("MONGREL2_PUB_ADDR")
    )


app = Brubeck(
    msg_conn=web_server(),
    handler_tuples=[
        (r"^/$", FrontPage),
        (r"^/service/sync$", CallAndWait),
        (r"^/service/async$", CallAndCarryOn),
        (rf"^{SLOW_PATH}$", SlowEchoResponse),
        (r"^/live$", live.LivePage),
        (r"^/live/deployment$", live.Deployment),
        (r"^/live/calls$", live.Calls),
        (r"^/healthz$", Alive),
        (r"^/readyz$", Ready),
        (r"^/static/([a-z]+\.[a-z]+)$", StaticFile),
    ],
    base_handler=Page,
    template_loader=load_jinja2_env(str(Path(__file__).parent / "templates")),
    cookie_secret=environment.secrets("COOKIE_SECRET_FILE"),
    request_timeout=service_timeout + 10,
    log_level=environment.choice("LOG_LEVEL", "INFO", environment.LOG_LEVELS),
    log_format=environment.choice("LOG_FORMAT", "text", environment.LOG_FORMATS),
    health_port=environment.port("HEALTH_PORT", 9001),
    watchdog_timeout=environment.number("WATCHDOG_TIMEOUT", 30.0),
    metrics_port=environment.port("METRICS_PORT", 0),
)

if __name__ == "__main__":
    app.run()

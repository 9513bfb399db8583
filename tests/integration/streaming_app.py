"""An application that streams, for `test_streaming`: behind Mongrel2, or its own web server."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gevent import GreenletExit, sleep

from brubeck.connections import Mongrel2Connection, WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler, render

logger = logging.getLogger(__name__)


class Count(WebMessageHandler):
    """Counts, a piece each, with a pause after each; says when it is over, whatever happened."""

    def get(self) -> Any:
        self.set_body(self.pieces(), {"Content-Type": "text/plain"})
        return self.render()

    post = get

    def pieces(self) -> Iterator[str | bytes]:
        try:
            for number in range(int(self.get_argument("to") or 5)):
                yield f"{number} " if number % 2 else f"{number} ".encode()
                yield ""
                sleep(float(self.get_argument("pause") or 0))
            if self.get_argument("fail"):
                raise LookupError("a mistake")
        finally:
            logger.info("the count is over")


class Slow(WebMessageHandler):
    """Is not streamed, and takes a while."""

    def get(self) -> Any:
        sleep(1.5)
        self.set_body("at last")
        return self.render()


class Flood(WebMessageHandler):
    """Says more than a browser that does not read can have."""

    def get(self) -> Any:
        self.set_body(self.pieces())
        return self.render()

    def pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
                sleep(0.001)
        finally:
            logger.info("the flood is over")


class Stubborn(WebMessageHandler):
    """Goes on though it is told to end."""

    def get(self) -> Any:
        self.set_body(self.pieces())
        return self.render()

    def pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"a piece"
                with suppress(GreenletExit):
                    sleep(0.1)
        finally:
            logger.info("the stubborn one is over")


class Nothing(WebMessageHandler):
    """Has no piece at all, or one too many for its status."""

    def get(self, status: str) -> Any:
        self.set_body(iter(["never"][: int(status) != 200]), status_code=int(status))
        return self.render()


class BadHeader(WebMessageHandler):
    """Says what no header can, and would not end."""

    def get(self) -> Any:
        self.set_body(self.pieces(), {"X-Bad": self.get_argument("value") or ""})
        return self.render()

    def pieces(self) -> Iterator[bytes]:
        logger.info("a stream without a head has begun")
        try:
            while True:
                yield b"never"
                sleep(0.1)
        finally:
            logger.info("a stream without a head is over")


def function(_application: Brubeck, _message: Any) -> Any:
    """Streams as well."""
    pieces: list[str | bytes] = ["one ", b"two"]
    return render(pieces, 200, "OK", {})


def server() -> Mongrel2Connection | WSGIConnection:
    """What the test asks for."""
    if "WSGI_PORT" in os.environ:
        return WSGIConnection(int(os.environ["WSGI_PORT"]), "127.0.0.1")
    return Mongrel2Connection(os.environ["PULL_ADDR"], os.environ["PUB_ADDR"])


app = Brubeck(
    msg_conn=server(),
    handler_tuples=[
        (r"^/count$", Count),
        (r"^/flood$", Flood),
        (r"^/slow$", Slow),
        (r"^/stubborn$", Stubborn),
        (r"^/nothing/(\d+)$", Nothing),
        (r"^/bad-header$", BadHeader),
        (r"^/function$", function),
    ],
    request_timeout=2.0,
    drain_timeout=10.0,
    metrics_port=int(os.environ["METRICS_PORT"]),
)

if __name__ == "__main__":
    app.run()

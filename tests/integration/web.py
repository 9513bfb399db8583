"""The application of `web_app` behind a Mongrel2, and browsers that say what a test wants."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tests.integration.programs import Program
from tests.integration.real_mongrel2 import Mongrel2

WEB_APP = Path(__file__).parent / "web_app.py"
COOKIE_SECRET = "a secret of the application"


@dataclass(frozen=True)
class Web:
    """Both programs, running."""

    mongrel2: Mongrel2
    app: Program


def behind(mongrel2: Mongrel2) -> dict[str, str]:
    """What the application must be told, to be behind this one."""
    return {
        "PULL_ADDR": mongrel2.pull_addr,
        "PUB_ADDR": mongrel2.pub_addr,
        "COOKIE_SECRET": COOKIE_SECRET,
    }


def start_app(start_python: Callable[..., Program], mongrel2: Mongrel2, **settings: str) -> Program:
    """The application, answering."""
    program = start_python(WEB_APP, **behind(mongrel2), **settings)
    mongrel2.wait_for_application("/echo")
    return program


@contextmanager
def raw_connection(mongrel2: Mongrel2, data: bytes) -> Iterator[socket.socket]:
    """A connection on which `data` was sent as it is."""
    with socket.create_connection(("127.0.0.1", mongrel2.port), timeout=10) as browser:
        browser.sendall(data)
        yield browser


def everything_from(browser: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = b""
    while part := browser.recv(65536):
        received += part
    return received


def status_of(mongrel2: Mongrel2, data: bytes) -> int:
    """The status of the answer to `data`; 0 if the connection just ends."""
    with raw_connection(mongrel2, data) as browser, HTTPResponse(browser) as response:
        try:
            response.begin()
        except (ConnectionError, HTTPException):
            return 0
        return response.status


def request(
    path: str, method: str = "GET", *, version: str = "1.1", headers: str = "", body: str = ""
) -> bytes:
    """A request, whatever it is made of; text is latin-1."""
    head = f"{method} {path} HTTP/{version}\r\nHost: here\r\n{headers}\r\n"
    return (head + body).encode("latin-1")

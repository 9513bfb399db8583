"""A browser for tests: one request, one answer, whatever its status."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage


@dataclass(frozen=True)
class Answer:
    """What a browser got, and after how many seconds. Status 0: the connection just ended."""

    status: int
    headers: HTTPMessage
    text: str
    seconds: float
    ended: float
    """When that was, as `time.monotonic` has it."""

    @property
    def request_id(self) -> str:
        """The name the application gave the request."""
        return self.headers.get("X-Request-ID", "")


@contextmanager
def connection(port: int, *, timeout: float = 60.0) -> Iterator[HTTPConnection]:
    """A connection to `port` of this machine, closed at the end."""
    browser = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        yield browser
    finally:
        browser.close()


def ask(
    port: int,
    path: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 60.0,
) -> Answer:
    """The answer to one request on a connection of its own.

    Raises:
        TimeoutError: if the connection was silent for `timeout` seconds.
    """
    started = time.monotonic()
    with connection(port, timeout=timeout) as browser:
        try:
            browser.request(method, path, body, dict(headers or {}))
            response = browser.getresponse()
            status, fields, content = response.status, response.headers, response.read()
        except (ConnectionError, HTTPException):
            status, fields, content = 0, HTTPMessage(), b""
    ended = time.monotonic()
    return Answer(status, fields, content.decode("utf-8"), ended - started, ended)

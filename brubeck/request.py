"""An HTTP request as a handler sees it, whichever server it came through. No I/O."""

from functools import cached_property
from typing import ClassVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from brubeck.errors import BadRequest, phrase_of
from brubeck.response import Response

MAX_ARGUMENTS = 1000
"""Arguments one request may have; more are a 400."""


class Request:
    """One HTTP request.

    `headers` has the browser's names in lower case and the server's own (`METHOD`, `PATH`,
    `URI`, `QUERY`, `VERSION`, `REMOTE_ADDR`) in upper case, as Mongrel2 gives them, so that a
    browser cannot overwrite those. Text is latin-1, as in WSGI. `request_id` is what every
    log line about this request carries.
    """

    transport: ClassVar[str] = "http"
    reply_type: ClassVar[type] = Response

    def __init__(
        self,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        sender: str = "",
        conn_id: str = "",
        request_id: str = "",
    ) -> None:
        self.headers = headers
        self.body = body
        self.sender = sender
        self.conn_id = conn_id
        self.request_id = request_id
        self.method = headers.get("METHOD", "GET")
        self.path = headers.get("PATH", "/")

    def __repr__(self) -> str:
        return f"<Request {self.request_id} {self.method} {self.path}>"

    @property
    def url(self) -> str:
        """The path with its query, as the browser asked for it."""
        return self.headers.get("URI", self.path)

    @cached_property
    def url_parts(self) -> SplitResult:
        """The url, split by `urllib.parse.urlsplit`."""
        return urlsplit(self.url)

    @property
    def version(self) -> str:
        """The protocol, such as `HTTP/1.1`."""
        return self.headers.get("VERSION", "HTTP/1.1")

    @property
    def remote_addr(self) -> str:
        """The browser's address, as the server saw it."""
        return self.headers.get("REMOTE_ADDR", "") or self.headers.get("x-forwarded-for", "")

    @property
    def content_type(self) -> str:
        """The `Content-Type` of the body, or an empty string."""
        return self.headers.get("content-type", "")

    @cached_property
    def arguments(self) -> dict[str, list[str]]:
        """The query's arguments by name, each with all its values.

        Raises:
            BadRequest: if there are more than `MAX_ARGUMENTS`.
        """
        query = self.headers.get("QUERY", "")
        if not query:
            return {}
        try:
            return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_ARGUMENTS)
        except ValueError:
            raise BadRequest(f"more than {MAX_ARGUMENTS} arguments") from None

    def get_argument(self, name: str, default: str | None = None, strip: bool = True) -> str | None:
        """The last value of an argument, or `default`."""
        values = self.get_arguments(name, strip)
        return values[-1] if values else default

    def get_arguments(self, name: str, strip: bool = True) -> list[str]:
        """All values of an argument, in their order."""
        values = self.arguments.get(name, [])
        return [value.strip() for value in values] if strip else values

    def should_close(self) -> bool:
        """Whether the connection ends with the answer (RFC 9112, section 9.3)."""
        options = [
            option.strip().lower() for option in self.headers.get("connection", "").split(",")
        ]
        return "close" in options or (self.version == "HTTP/1.0" and "keep-alive" not in options)

    def error_reply(self, status_code: int) -> Response:
        """A plain answer, for when no handler can make one."""
        phrase = phrase_of(status_code)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Response(status_code, phrase, headers, f"{status_code} {phrase}\n".encode())

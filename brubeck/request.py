"""An HTTP request as a handler sees it, whichever server it came through. No I/O."""

from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from brubeck.cookies import parse_cookies
from brubeck.errors import BadRequest, phrase_of
from brubeck.forms import Form, UploadedFile, parse_arguments, parse_form
from brubeck.response import Response

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
"""HTTP's methods (RFC 9110, section 9.3; RFC 5789); a browser may send any other word."""


class Request:
    """One HTTP request.

    `headers` has the browser's names in lower case and the server's own (`METHOD`, `PATH`,
    `URI`, `QUERY`, `VERSION`, `REMOTE_ADDR`) in upper case, as Mongrel2 gives them, so that a
    browser cannot overwrite those. Text is latin-1, as in WSGI. `request_id` is what every
    log line about this request carries.
    """

    transport: ClassVar[str] = "http"
    reply_type: ClassVar[type] = Response

    traceparent: str = ""
    """What calls made for it are told of its trace (W3C Trace Context), where there are traces."""
    traceresponse: str = ""
    """What the browser is told of its trace, if that is kept, or began at the browser's side."""

    def __init__(
        self,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        sender: str = "",
        conn_id: str = "",
        request_id: str = "",
        is_wsgi: bool = False,
    ) -> None:
        self.headers = headers
        self.body = body
        self.sender = sender
        self.conn_id = conn_id
        self.request_id = request_id
        self.is_wsgi = is_wsgi
        self.head_sent_at = 0.0
        """When, on the monotonic clock, the head of a streamed answer was sent, if it has been: it
        can be cut, but not replaced."""
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
        """The url, split by `urllib.parse.urlsplit`.

        Raises:
            BadRequest: if it is no url.
        """
        try:
            return urlsplit(self.url)
        except ValueError as error:
            raise BadRequest(f"not a url: {error}") from None

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
    def form(self) -> Form:
        """The form in the body: empty if the body is not a form.

        Raises:
            BadRequest: if it cannot be read, or has too many parts.
        """
        return parse_form(self.content_type, self.body)

    @cached_property
    def arguments(self) -> dict[str, list[str]]:
        """The arguments by name, each with all its values: the query's, then the form's.

        Raises:
            BadRequest: if there are too many, or the form cannot be read.
        """
        arguments = parse_arguments(self.headers.get("QUERY", "").encode("latin-1", "replace"))
        for name, values in self.form.fields.items():
            arguments.setdefault(name, []).extend(values)
        return arguments

    @property
    def files(self) -> dict[str, list[UploadedFile]]:
        """The files of the form by name: `filename`, `body` and `content_type` of each.

        Raises:
            BadRequest: if the form cannot be read.
        """
        return self.form.files

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by name, as the browser sent them."""
        return parse_cookies(self.headers.get("cookie", ""))

    def json(self) -> Any:
        """The body, read as JSON.

        Raises:
            BadRequest: if it is not JSON.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from None

    def get_argument(self, name: str, default: str | None = None, strip: bool = True) -> str | None:
        """The last value of an argument, or `default`. Raises as `arguments`."""
        values = self.get_arguments(name, strip)
        return values[-1] if values else default

    def get_arguments(self, name: str, strip: bool = True) -> list[str]:
        """All values of an argument, in their order. Raises as `arguments`."""
        values = self.arguments.get(name, [])
        return [value.strip() for value in values] if strip else values

    def is_disconnect(self) -> bool:
        """Whether this tells that a browser has gone; handlers never see such a message."""
        return False

    @property
    def takes_chunks(self) -> bool:
        """Whether a body may come in chunks, of no length known before (RFC 9112, section 7.1)."""
        return self.version == "HTTP/1.1"

    def should_close(self) -> bool:
        """Whether the connection ends with the answer (RFC 9112, section 9.3)."""
        if "connection" not in self.headers:
            return self.version == "HTTP/1.0"
        options = [option.strip().lower() for option in self.headers["connection"].split(",")]
        return "close" in options or (self.version == "HTTP/1.0" and "keep-alive" not in options)

    @property
    def id_headers(self) -> dict[str, str]:
        """What every answer tells the browser of its request: its id and, if any, its trace."""
        ids = {"X-Request-ID": self.request_id}
        if self.traceresponse:
            ids["traceresponse"] = self.traceresponse
        return ids

    def closes_after(self, response: Response) -> bool:
        """Whether the connection ends with this answer: for want of chunks, that ends its body."""
        return self.should_close() or (response.streamed and not self.takes_chunks)

    def error_reply(self, status_code: int) -> Response:
        """A plain answer, for when no handler can make one."""
        phrase = phrase_of(status_code)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Response(status_code, phrase, headers, f"{status_code} {phrase}\n".encode())

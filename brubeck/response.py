"""An HTTP response, and its bytes (RFC 9110, RFC 9112). No I/O, no clock."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

HeaderValue = str | Sequence[str]

Pieces = Iterable[str | bytes]
"""A body piece by piece, each sent as soon as it is there."""

LAST_CHUNK = b"0\r\n\r\n"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset(("content-length", "connection", "transfer-encoding"))
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")


@dataclass(frozen=True, slots=True)
class Response:
    """What a web handler's `render` returns.

    `headers` maps a name to its value, or to several where the header repeats (Set-Cookie).
    `pieces`, in place of `body`, are made where the handler ran.
    """

    status_code: int
    status_msg: str
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    body: bytes = b""
    pieces: Pieces | None = None

    @property
    def streamed(self) -> bool:
        """Whether the body comes piece by piece."""
        return self.pieces is not None

    @property
    def bodiless(self) -> bool:
        """Whether a response of this status has no body (RFC 9110, section 6.4.1)."""
        return self.status_code < 200 or self.status_code in (204, 304)


def http_response(
    body: str | bytes, code: int, status: str, headers: Mapping[str, HeaderValue] | None = None
) -> bytes:
    """The HTTP/1.1 text of a response.

    Raises:
        ValueError: if the status or a header cannot be sent, such as one with a line break.
        TypeError: if the status message or the value of a header is not text.
    """
    content = body.encode() if isinstance(body, str) else body
    return encode(Response(code, status, headers or {}, content))


def encode(
    response: Response,
    *,
    head: bool = False,
    close: bool = False,
    server_headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a response; of one that is streamed, those before the pieces of its body.

    `head`: the answer to a HEAD request, with the length of the body but without it. `close`:
    say that the connection ends here. `server_headers`: what the server adds, such as Date.

    Raises:
        ValueError: if the status or a header cannot be sent, such as one with a line break.
        TypeError: if the status message or the value of a header is not text.
    """
    lines = [f"HTTP/1.1 {response.status_code} {response.status_msg}"]
    lines += [f"{name}: {value}" for name, value in header_fields(response, server_headers or {})]
    if close:
        lines.append("Connection: close")
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.encode("latin-1") + (b"" if head or response.bodiless else response.body)


def encode_chunk(piece: bytes) -> bytes:
    """A piece of a streamed body (RFC 9112, section 7.1); an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def header_fields(response: Response, server_headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The header fields of a response, the server's and its length included, each checked.

    Raises:
        ValueError: if the status or a header cannot be sent, such as one with a line break.
        TypeError: if the status message or the value of a header is not text.
    """
    if not 100 <= response.status_code <= 599:
        raise ValueError(f"no HTTP status: {response.status_code}")
    _check("status message", response.status_msg)
    fields: list[tuple[str, str]] = []
    for name, value in response.headers.items():
        if name.lower() not in _FRAMING:  # said below, and true
            fields += [(name, v) for v in ((value,) if isinstance(value, str) else value)]
    fields += server_headers.items()
    if not (response.streamed or response.bodiless):
        fields.append(("Content-Length", str(len(response.body))))
    for name, single in fields:
        _check_name(name)
        _check(name, single)
    return fields


@lru_cache(maxsize=1000)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"no header name: {name!r}")


def _check(name: str, value: str) -> None:
    if _FORBIDDEN.search(value):
        raise ValueError(f"{name}: a control character, or one beyond latin-1, in {value!r}")

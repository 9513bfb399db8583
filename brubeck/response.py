"""An HTTP response, and its bytes (RFC 9110, RFC 9112). No I/O, no clock."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HeaderValue = str | Sequence[str]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset(("content-length", "connection", "transfer-encoding"))
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Response:
    """What a web handler's `render` returns.

    `headers` maps a name to its value, or to several where the header repeats (Set-Cookie).
    """

    status_code: int
    status_msg: str
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    body: bytes = b""


def http_response(
    body: str | bytes, code: int, status: str, headers: Mapping[str, HeaderValue] | None = None
) -> bytes:
    """The HTTP/1.1 text of a response.

    Raises:
        ValueError: if the status or a header cannot be sent, such as one with a line break.
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
    """The bytes of a response.

    `head`: the answer to a HEAD request, with the length of the body but without it. `close`:
    say that the connection ends here. `server_headers`: what the server adds, such as Date.

    Raises:
        ValueError: if the status or a header cannot be sent, such as one with a line break.
    """
    code = response.status_code
    if not 100 <= code <= 599:
        raise ValueError(f"no HTTP status: {code}")
    lines = [f"HTTP/1.1 {code} {_checked('status message', response.status_msg)}"]
    for name, value in response.headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"no header name: {name!r}")
        if name.lower() in _FRAMING:
            continue  # said below, and true
        values = (value,) if isinstance(value, str) else value
        lines += [f"{name}: {_checked(name, single)}" for single in values]
    lines += [f"{name}: {_checked(name, text)}" for name, text in (server_headers or {}).items()]
    bodiless = code < 200 or code in (204, 304)
    if not bodiless:
        lines.append(f"Content-Length: {len(response.body)}")
    if close:
        lines.append("Connection: close")
    text = "\r\n".join(lines) + "\r\n\r\n"
    return text.encode("latin-1") + (b"" if head or bodiless else response.body)


def _checked(name: str, value: str) -> str:
    if _FORBIDDEN.search(value):
        raise ValueError(f"{name}: a control character in {value!r}")
    return value

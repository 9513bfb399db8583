"""Mongrel2's messages: bytes to values and back, nothing else.

A request is `SENDER CONN_ID PATH SIZE:HEADERS,SIZE:BODY,`; the headers are a tnetstring
dictionary or, where Mongrel2 was told so, a JSON object in a netstring. A reply is
`SENDER SIZE:CONN_ID CONN_ID ..., BODY`. Header bytes are whatever a browser sent, so they
become text as latin-1, which cannot fail; lengths count bytes. Source: the Mongrel2 manual,
chapter 5, and handler.c and request.c of version 1.12.2.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

MAX_TARGETS = 128
"""Connections one reply may name (Mongrel2's `limits.handler_targets`)."""

LEAVE_PATH = "@*"
"""The path of Mongrel2's own notices; a browser cannot ask for it."""

WEBSOCKET = "WEBSOCKET"
"""What the METHOD of a websocket's handshake, and of its frames, begins with."""

_IDENT = re.compile(rb"[A-Za-z0-9-]+")
"""Idents Mongrel2 takes in a reply; one reply with another would hold up all others."""

_KEEP_ALIVE = b"28:3:ctl,18:10:keep-alive,1:1,}]"

Headers = dict[str, str]

Browser = tuple[str, str]
"""A browser's connection: Mongrel2's ident, and its number for the connection."""


class Mongrel2Message(NamedTuple):
    """What Mongrel2 says about one request: `sender` is its ident, `conn_id` the browser's."""

    sender: str
    conn_id: str
    path: str
    headers: Headers
    body: bytes

    @property
    def is_leave(self) -> bool:
        """Whether this tells that a browser has gone. METHOD alone could be a browser's."""
        return self.path == LEAVE_PATH and self.headers.get("METHOD") == "JSON"


def parse(message: bytes) -> Mongrel2Message:
    """Read one message.

    Raises:
        ValueError: if it is not what Mongrel2 sends.
    """
    try:
        sender, conn_id, path, rest = message.split(b" ", 3)
    except ValueError:
        raise ValueError("not a Mongrel2 message: fewer than four fields") from None
    if not _IDENT.fullmatch(sender):
        raise ValueError("not a Mongrel2 message: an ident that nobody could answer")
    if not conn_id.isdigit():
        raise ValueError("not a Mongrel2 message: the connection id is no number")
    kind, value, rest = _split(rest)
    headers = _tnetstring_headers(value) if kind == b"}" else _json_headers(value)
    kind, body, rest = _split(rest)
    if kind != b"," or rest:
        raise ValueError("not a Mongrel2 message: it does not end with a netstring body")
    return Mongrel2Message(_text(sender), _text(conn_id), _text(path), headers, body)


def reply(sender: str, conn_ids: Sequence[str], body: bytes) -> bytes:
    """A reply to up to `MAX_TARGETS` connections; an empty body closes them."""
    targets = " ".join(conn_ids)
    return f"{sender} {len(targets)}:{targets}, ".encode("ascii") + body


def keep_alive(browsers: Iterable[Browser]) -> Iterator[bytes]:
    """The messages that renew the leases of these connections (extended reply `X`, `ctl`)."""
    by_sender: dict[str, list[str]] = {}
    for sender, conn_id in browsers:
        by_sender.setdefault(sender, []).append(conn_id)
    for sender, conn_ids in by_sender.items():
        for start in range(0, len(conn_ids), MAX_TARGETS - 1):  # the X is a target too
            yield reply(sender, ["X", *conn_ids[start : start + MAX_TARGETS - 1]], _KEEP_ALIVE)


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One tnetstring off the front of `data`: its type byte, its value, and what follows."""
    size_text, colon, rest = data.partition(b":")
    if not colon or not size_text.isdigit() or len(size_text) > 9:
        raise ValueError("bad netstring: no length")
    size = int(size_text)
    if len(rest) <= size:
        raise ValueError("bad netstring: shorter than its length says")
    return rest[size : size + 1], rest[:size], rest[size + 1 :]


def _tnetstring_headers(data: bytes) -> Headers:
    # Latin-1 maps each byte to one character, so lengths hold for the text too, and slicing
    # text once is half the work of slicing bytes and decoding each.
    text = _text(data)
    names_and_values: list[str | list[str]] = []
    position = 0
    while position < len(text):
        kind, start, end = _span(text, position)
        names_and_values.append(
            text[start:end] if kind == "," else _strings(kind, text, start, end)
        )
        position = end + 1
    headers: Headers = {}
    for name, value in zip(names_and_values[::2], names_and_values[1::2], strict=True):
        if not isinstance(name, str):
            raise ValueError("bad headers: a name that is no string")
        headers[name] = value if isinstance(value, str) else _joined(name, value)
    return headers


def _span(text: str, position: int) -> tuple[str, int, int]:
    """The tnetstring at `position`: its type, and where its value starts and ends."""
    colon = text.find(":", position, position + 10)
    if colon < 0 or not text[position:colon].isdecimal():
        raise ValueError("bad headers: no length")
    end = colon + 1 + int(text[position:colon])
    if end >= len(text):
        raise ValueError("bad headers: a value that is cut off")
    return text[end], colon + 1, end


def _strings(kind: str, text: str, position: int, end: int) -> list[str]:
    """The strings of a tnetstring list: a header that was sent more than once."""
    if kind != "]":
        raise ValueError("bad headers: a value that is neither string nor list")
    values = []
    while position < end:
        kind, start, stop = _span(text, position)
        if kind != "," or stop >= end:
            raise ValueError("bad headers: a list of other things than strings")
        values.append(text[start:stop])
        position = stop + 1
    return values


def _json_headers(data: bytes) -> Headers:
    # Mongrel2 escapes only the quote and the backslash, so control characters are to be
    # expected in strings (strict=False) and bytes beyond ASCII are not always UTF-8.
    try:
        headers = json.loads(_text(data), strict=False)
    except RecursionError:
        raise ValueError("bad headers: nested too deeply") from None
    if not isinstance(headers, dict):
        raise ValueError("bad headers: not a JSON object")
    return {name: _json_header(name, value) for name, value in headers.items()}


def _json_header(name: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(single, str) for single in values):
        raise ValueError("bad headers: a value that is neither string nor list of strings")
    return _joined(name, values)


def _joined(name: str, values: Sequence[str]) -> str:
    """One header from several of its name (RFC 9110, section 5.3; RFC 6265, section 5.4)."""
    return ("; " if name == "cookie" else ", ").join(values)

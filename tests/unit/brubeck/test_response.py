"""HTTP responses, values and bytes."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brubeck.response import HeaderValue, Response, encode, http_response

SMUGGLED = "x\r\nSet-Cookie: session=stolen"


@pytest.mark.parametrize(
    ("response", "options", "expected"),
    [
        (
            Response(200, "OK", {"Content-Type": "text/plain"}, b"hello"),
            {},
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (Response(200, "OK"), {}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            Response(200, "OK", {}, "grün".encode()),
            {},
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngrün".encode(),
        ),
        (
            Response(200, "OK", {"Set-Cookie": ["a=1", "b=2"]}),
            {},
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            Response(200, "OK", {}, b"hello"),
            {"head": True},
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            Response(200, "OK", {}, b"hello"),
            {"close": True},
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        ),
        (
            Response(200, "OK", {"X-Mine": "1"}),
            {"server_headers": {"X-Servers": "2"}},
            b"HTTP/1.1 200 OK\r\nX-Mine: 1\r\nX-Servers: 2\r\nContent-Length: 0\r\n\r\n",
        ),
        (Response(204, "No Content", {}, b"lost"), {}, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (Response(304, "Not Modified", {}, b"lost"), {}, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (
            Response(200, "", {"X-Name": "René\t"}),
            {},
            b"HTTP/1.1 200 \r\nX-Name: Ren\xe9\t\r\nContent-Length: 0\r\n\r\n",
        ),
    ],
    ids=[
        "header and body",
        "no body",
        "a length in bytes",
        "a header that repeats",
        "the answer to HEAD",
        "the last on its connection",
        "with the server's headers",
        "204 has no body",
        "304 has no body",
        "latin-1 and a tab",
    ],
)
def test_a_response_and_its_bytes(
    response: Response, options: dict[str, Any], expected: bytes
) -> None:
    assert encode(response, **options) == expected


@pytest.mark.parametrize(
    "lie", [{"content-length": "3"}, {"Transfer-Encoding": "chunked"}, {"CONNECTION": "upgrade"}]
)
def test_a_handler_cannot_lie_about_where_the_response_ends(lie: dict[str, str]) -> None:
    assert encode(Response(200, "OK", lie, b"hello")) == encode(Response(200, "OK", {}, b"hello"))


@pytest.mark.parametrize(
    "response",
    [
        Response(200, SMUGGLED),
        Response(200, "OK", {"Location": SMUGGLED}),
        Response(200, "OK", {"Location": "x\nSet-Cookie: a=1"}),
        Response(200, "OK", {"Location": "x\rSet-Cookie: a=1"}),
        Response(200, "OK", {"Set-Cookie": ["a=1", SMUGGLED]}),
        Response(200, "OK", {SMUGGLED: "x"}),
        Response(200, "OK", {"X-Name\n": "x"}),
        Response(200, "OK", {"X Name": "x"}),
        Response(200, "OK", {"": "x"}),
        Response(200, "OK", {"X-Name": "x\0"}),
        Response(200, "OK", {"X-Name": "\x7f"}),
        Response(200, "OK", {"X-Name": "€"}),
        Response(99, "Too small"),
        Response(600, "Too large"),
    ],
    ids=repr,
)
def test_what_http_cannot_say_is_refused(response: Response) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever the reason
        encode(response)


def test_a_server_header_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        encode(Response(200, "OK"), server_headers={"Date": SMUGGLED})


nasty_text = st.text(st.sampled_from("aA1:;=,- \t\r\n\v\f\0\x1c\x85\xff\u2028€"))


@given(
    status_msg=nasty_text,
    headers=st.dictionaries(nasty_text | st.just("Name"), nasty_text | st.lists(nasty_text)),
    body=st.binary(),
)
@example(status_msg="OK", headers={"Location": SMUGGLED}, body=b"")
@example(status_msg=SMUGGLED, headers={}, body=b"")
def test_header_injection_is_never_possible(
    status_msg: str, headers: Mapping[str, HeaderValue], body: bytes
) -> None:
    # When
    try:
        encoded = encode(Response(200, status_msg, headers, body))
    except ValueError:
        return
    # Then: one line for the status, one for each value, one for the length, and the body
    head, end, rest = encoded.partition(b"\r\n\r\n")
    values = sum(1 if isinstance(value, str) else len(value) for value in headers.values())
    framing = [name for name in headers if name.lower() in ("connection", "content-length")]
    assert not framing
    assert len(re.split(rb"[\r\n]+", head)) == len(head.split(b"\r\n")) == values + 2
    assert end
    assert rest == body


def test_http_response_is_the_text_of_a_response() -> None:
    expected = b"HTTP/1.1 200 OK\r\nX-Mine: 1\r\nContent-Length: 5\r\n\r\ngr\xc3\xbcn"
    assert http_response("grün", 200, "OK", {"X-Mine": "1"}) == expected
    assert http_response("grün".encode(), 200, "OK", {"X-Mine": "1"}) == expected
    assert http_response("", 200, "OK") == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_http_response_refuses_a_line_break_in_a_header() -> None:
    with pytest.raises(ValueError, match="Location"):
        http_response("", 302, "Found", {"Location": SMUGGLED})

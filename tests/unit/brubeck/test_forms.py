import gc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brubeck.errors import BadRequest
from brubeck.forms import MAX_FIELDS, Form, parse_form

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=line"


def multipart(*parts: str) -> bytes:
    return "".join(f"--line\r\n{part}\r\n" for part in (*parts,)).encode() + b"--line--\r\n"


FIELD = 'Content-Disposition: form-data; name="field"\r\n\r\ngrün'
UNKNOWN_CHARSET = "Content-Type: text/plain; charset=no-such-charset"
NULL_CHARSET = 'Content-Type: text/plain; charset="a\0b"'
HALF_A_CHARACTER = "Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-"
FILE = (
    'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    "Content-Type: text/plain; charset=utf-8\r\n\r\nhello"
)


@pytest.mark.parametrize(
    ("content_type", "body", "form"),
    [
        ("", b"a=1", Form()),
        ("application/json", b"{}", Form()),
        (URLENCODED, b"a=1&a=2&b=gr%C3%BCn", Form({"a": ["1", "2"], "b": ["grün"]})),
        (URLENCODED, "b=grün".encode(), Form({"b": ["grün"]})),
        (URLENCODED, b"b=gr\xfcn", Form({"b": ["gr\ufffdn"]})),
        (f"{URLENCODED}; charset=utf-8", b"a=", Form({"a": [""]})),
        (URLENCODED, b"", Form()),
        (MULTIPART, multipart(FIELD, FIELD), Form({"field": ["grün", "grün"]})),
        (
            MULTIPART,
            multipart(FILE),
            Form(
                {},
                {"file": [{"filename": "a.txt", "body": b"hello", "content_type": "text/plain"}]},
            ),
        ),
    ],
    ids=[
        "no type",
        "no form",
        "fields in a line",
        "bytes that should be encoded",
        "bytes of another charset",
        "with a charset",
        "an empty form",
        "fields in parts",
        "a file",
    ],
)
def test_a_body_and_its_form(content_type: str, body: bytes, form: Form) -> None:
    assert parse_form(content_type, body) == form


@pytest.mark.parametrize(
    "body",
    [
        multipart(FIELD)[:-6],
        multipart("no header"),
        multipart(FIELD.replace("\r\n\r\n", f"\r\n{UNKNOWN_CHARSET}\r\n\r\n")),
        multipart(FIELD),
    ],
    ids=["cut off", "a part without headers", "an unknown charset", "a good one"],
)
def test_a_form_leaves_nothing_to_the_garbage_collector(body: bytes) -> None:
    def read() -> None:
        with suppress(BadRequest):
            parse_form(MULTIPART, body)

    read()  # what is loaded the first time is none of it
    gc.collect()
    gc.disable()
    try:
        read()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", multipart(FIELD)),
        ("multipart/form-data; boundary=another", multipart(FIELD)),
        (MULTIPART, multipart(FIELD)[:-6]),
        (MULTIPART, multipart("no header")),
        (MULTIPART, multipart(FIELD.replace("\r\n\r\n", f"\r\n{UNKNOWN_CHARSET}\r\n\r\n"))),
        (MULTIPART, multipart(FIELD.replace("\r\n\r\n", f"\r\n{NULL_CHARSET}\r\n\r\n"))),
        (MULTIPART, multipart(FIELD).replace(b"\xc3", b"\xff")),
        (MULTIPART, multipart(FIELD.replace("\r\n\r\ngrün", f"\r\n{HALF_A_CHARACTER}"))),
        (MULTIPART, multipart(*[FIELD] * (MAX_FIELDS + 1))),
        (URLENCODED, b"&".join([b"a=1"] * (MAX_FIELDS + 1))),
    ],
    ids=[
        "no boundary",
        "another boundary",
        "cut off",
        "a part without headers",
        "an unknown charset",
        "a charset that is no text",
        "bytes that are no text",
        "half a character",
        "too many parts",
        "too many fields",
    ],
)
def test_a_form_that_cannot_be_read_is_a_bad_request(content_type: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_form(content_type, body)


@settings(max_examples=500)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 250), st.integers(0, 3), st.binary(max_size=3)), max_size=3
    )
)
def test_a_mutated_form_is_read_or_a_bad_request(changes: list[tuple[int, int, bytes]]) -> None:
    body = multipart(FIELD, FILE)
    for position, length, replacement in changes:
        body = body[:position] + replacement + body[position + length :]
    try:
        parse_form(MULTIPART, body)
    except BadRequest:
        return

"""Mongrel2's messages, bytes and values.

`golden/mongrel2/valid` holds messages as Mongrel2 1.12.2 sent them, with headers of either
protocol, and what they say; `invalid` what must be refused. Adding a case is adding a file.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brubeck import mongrel2
from brubeck.mongrel2 import Mongrel2Message

GOLDEN = Path(__file__).parent.parent / "golden" / "mongrel2"
VALID = sorted((GOLDEN / "valid").glob("*.raw"))
INVALID = sorted((GOLDEN / "invalid").glob("*.raw"))

Headers = dict[str, str | list[str]]
"""What a browser may send: a header that repeats has a list."""

bytes_as_text = st.binary(max_size=40).map(lambda data: data.decode("latin-1"))
browser_headers = st.dictionaries(bytes_as_text, bytes_as_text | st.lists(bytes_as_text))


def values_of(raw: Path) -> Mongrel2Message:
    values = json.loads((raw.parent / f"{raw.name.split('.')[0]}.values.json").read_text())
    return Mongrel2Message(**values | {"body": values["body"].encode("latin-1")})


def netstring(data: bytes, kind: str = ",") -> bytes:
    return b"%d:%s%s" % (len(data), data, kind.encode())


def tnetstring(value: str | list[str]) -> bytes:
    if isinstance(value, str):
        return netstring(value.encode("latin-1"))
    return netstring(b"".join(map(tnetstring, value)), "]")


def tnetstring_headers(headers: Headers) -> bytes:
    return netstring(b"".join(map(tnetstring, (x for item in headers.items() for x in item))), "}")


def json_headers(headers: Headers) -> bytes:
    """JSON as Mongrel2 writes it: it escapes the quote and the backslash, and nothing else."""

    def written(value: str | list[str]) -> str:
        if isinstance(value, list):
            return f"[{','.join(map(written, value))}]"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    pairs = (f"{written(name)}:{written(value)}" for name, value in headers.items())
    return netstring(f"{{{','.join(pairs)}}}".encode("latin-1"))


def joined(name: str, value: str | list[str]) -> str:
    if isinstance(value, str):
        return value
    return ("; " if name == "cookie" else ", ").join(value)


@pytest.mark.parametrize("raw", VALID, ids=lambda raw: raw.stem)
def test_what_mongrel2_sent_is_understood(raw: Path) -> None:
    assert mongrel2.parse(raw.read_bytes()) == values_of(raw)


@pytest.mark.parametrize("raw", INVALID, ids=lambda raw: raw.stem)
def test_what_mongrel2_would_not_send_is_refused(raw: Path) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever the reason
        mongrel2.parse(raw.read_bytes())


def test_there_are_golden_messages() -> None:
    assert VALID
    assert INVALID


@pytest.mark.parametrize("encoded", [tnetstring_headers, json_headers])
@given(headers=browser_headers, body=st.binary())
@example(headers={"cookie": ["a=1", "b=2"], "x-part": ["one", "two"], "x-none": []}, body=b"\xff")
def test_any_bytes_a_browser_sends_arrive(
    encoded: Callable[[Headers], bytes], headers: Headers, body: bytes
) -> None:
    message = b"ident 7 /path " + encoded(headers) + netstring(body)
    assert mongrel2.parse(message) == Mongrel2Message(
        "ident", "7", "/path", {name: joined(name, value) for name, value in headers.items()}, body
    )


@settings(max_examples=1000)
@given(
    message=st.sampled_from([raw.read_bytes() for raw in VALID]),
    changes=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)),
        min_size=1,
        max_size=3,
    ),
)
def test_a_mutated_message_is_refused_or_can_be_answered(
    message: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for position, length, replacement in changes:
        message = message[:position] + replacement + message[position + length :]
    try:
        understood = mongrel2.parse(message)
    except ValueError:
        return
    assert mongrel2.reply(understood.sender, [understood.conn_id], b"answer")
    assert list(mongrel2.keep_alive([(understood.sender, understood.conn_id)]))
    assert all(isinstance(value, str) for value in understood.headers.values())


@pytest.mark.parametrize(
    ("path", "method", "is_leave"),
    [("@*", "JSON", True), ("/", "JSON", False), ("@*", "GET", False), ("@chat", "JSON", False)],
)
def test_a_leave_has_a_path_no_browser_can_ask_for(path: str, method: str, is_leave: bool) -> None:
    message = Mongrel2Message("ident", "7", path, {"METHOD": method}, b'{"type":"disconnect"}')
    assert message.is_leave is is_leave


@pytest.mark.parametrize(
    ("conn_ids", "body", "expected"),
    [
        (["7"], b"HTTP/1.1 200 OK\r\n\r\n", b"ident 1:7, HTTP/1.1 200 OK\r\n\r\n"),
        (["7", "12"], b"both", b"ident 4:7 12, both"),
        (["7"], b"", b"ident 1:7, "),
        (["7"], b"\xff 1:8, \x00", b"ident 1:7, \xff 1:8, \x00"),
    ],
    ids=["one browser", "two browsers", "close", "any bytes"],
)
def test_a_reply_names_its_browsers(conn_ids: list[str], body: bytes, expected: bytes) -> None:
    assert mongrel2.reply("ident", conn_ids, body) == expected


def test_a_lease_is_renewed_with_an_extended_reply() -> None:
    assert list(mongrel2.keep_alive([("ident", "7"), ("other", "8"), ("ident", "12")])) == [
        b"ident 6:X 7 12, 28:3:ctl,18:10:keep-alive,1:1,}]",
        b"other 3:X 8, 28:3:ctl,18:10:keep-alive,1:1,}]",
    ]


@pytest.mark.parametrize("count", [0, 1, 127, 128, 254, 1000])
def test_every_lease_is_renewed_and_no_reply_has_more_targets_than_mongrel2_takes(
    count: int,
) -> None:
    # Given
    conn_ids = [str(number) for number in range(count)]
    # When
    messages = list(mongrel2.keep_alive(("ident", conn_id) for conn_id in conn_ids))
    # Then
    targets = [message.split(b":", 1)[1].split(b",")[0].decode().split() for message in messages]
    assert all(first == "X" and len(rest) < mongrel2.MAX_TARGETS for first, *rest in targets)
    assert [name for _, *rest in targets for name in rest] == conn_ids

import re

import pytest

from brubeck.event_stream import HEARTBEAT, encode_event


def heard(stream: bytes) -> list[tuple[str, str]]:
    """The events a browser makes of a stream, as WHATWG HTML, section 9.2.6, has it."""
    events: list[tuple[str, str]] = []
    event = ""
    data: list[str] = []
    for line in re.split(r"\r\n|\n|\r", stream.decode()):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((event or "message", "\n".join(data)))
            event, data = "", []
        elif field == "event":
            event = value
        elif field == "data":
            data.append(value)
    return events


@pytest.mark.parametrize(
    "data", ["plain", "two\nlines", "", " ", "ends\n", "\u00fcml\u00e4ut", "a: b", ":"]
)
@pytest.mark.parametrize("event", ["", "news"])
def test_a_browser_hears_what_was_said(data: str, event: str) -> None:
    assert heard(encode_event(data, event) * 2) == [(event or "message", data)] * 2


def test_bytes_are_taken_as_they_are() -> None:
    assert encode_event(b"{}", "call") == b"event: call\ndata: {}\n\n"


@pytest.mark.parametrize("line_break", ["\r", "\r\n"])
def test_no_line_break_in_the_data_can_forge_an_event(line_break: str) -> None:
    assert heard(encode_event(f"one{line_break}event: two")) == [("message", "one\nevent: two")]


@pytest.mark.parametrize("line_break", ["\r", "\n"])
def test_a_line_break_in_the_name_is_refused(line_break: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_event("data", f"name{line_break}data: forged")


def test_nobody_is_told_of_a_heartbeat() -> None:
    assert heard(HEARTBEAT) == []

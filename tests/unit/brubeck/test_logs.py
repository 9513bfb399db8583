"""Log lines."""

import json
import logging
import os
import sys
from typing import Any

import pytest

from brubeck.logs import JsonFormatter, Occasionally, TextFormatter
from tests.unit.brubeck.programs import output_of

CONTROL_CHARACTERS = [chr(code) for code in (*range(32), *range(127, 160))]
HOSTILE = "x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\x9b\x7f\r\u0085\0"


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("brubeck.test", logging.INFO, "file", 1, message, args, None)
    made.created, made.msecs = 0.007, 7.0
    vars(made).update(more)
    return made


def failure(text: str) -> Any:
    try:
        raise RuntimeError(text)
    except RuntimeError:
        return sys.exc_info()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            record("replied %s %d", "/grün", 200, request_id="a-1"),
            "1970-01-01T00:00:00.007Z INFO    a-1 brubeck.test: replied /grün 200",
        ),
        (record("started"), "1970-01-01T00:00:00.007Z INFO    - brubeck.test: started"),
    ],
)
def test_a_line_of_text(entry: logging.LogRecord, line: str) -> None:
    assert TextFormatter().format(entry) == line


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            record("replied %s %d", "/grün", 200, request_id="a-1"),
            {"message": "replied /grün 200", "request_id": "a-1"},
        ),
        (record("started"), {"message": "started"}),
        (record(HOSTILE), {"message": HOSTILE}),
    ],
)
def test_a_line_of_json(entry: logging.LogRecord, line: dict[str, str]) -> None:
    assert json.loads(JsonFormatter().format(entry)) == line | {
        "time": "1970-01-01T00:00:00.007Z",
        "level": "info",
        "logger": "brubeck.test",
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
@pytest.mark.parametrize(
    "entry",
    [
        record("asked for %s", HOSTILE),
        record("asked", request_id=HOSTILE),
        record("failed", exc_info=failure(HOSTILE)),
    ],
    ids=["message", "request id", "traceback"],
)
def test_no_line_holds_a_control_character_of_a_peer(
    formatter: logging.Formatter, entry: logging.LogRecord
) -> None:
    written = formatter.format(entry).replace("\n  ", "")
    assert not [character for character in CONTROL_CHARACTERS if character in written]
    assert "forged" in written


def test_a_peer_cannot_forge_a_line_of_text() -> None:
    entry = record("failed", exc_info=failure(HOSTILE))
    first, *rest = TextFormatter().format(entry).split("\n")
    assert first.endswith("failed")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


def test_a_traceback_in_json_is_in_the_same_line() -> None:
    written = JsonFormatter().format(record("failed", exc_info=failure("a mistake")))
    assert "\n" not in written
    assert json.loads(written)["error"].endswith("RuntimeError: a mistake")


@pytest.mark.parametrize(
    ("log_format", "starts"), [("text", "20"), ("json", "{")], ids=["text", "json"]
)
def test_logs_go_to_standard_output_from_their_level_on(log_format: str, starts: str) -> None:
    lines = output_of(
        "import logging; from brubeck import logs;"
        f"logs.configure('WARNING', {log_format!r});"
        "logging.info('too quiet'); logging.warning('loud enough')"
    ).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(starts)
    assert "loud enough" in lines[0]


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_half_a_character_such_as_a_file_s_name_may_have_can_be_written(
    formatter: logging.Formatter,
) -> None:
    written = formatter.format(record("cannot read %s", os.fsdecode(b"b\xff.txt"))).encode()
    assert b"cannot read b\\udcff.txt" in written


LOGS_EVERYWHERE = """
import brubeck.cooperative
import io, logging, os, sys
import gevent
from gevent import monkey
from gevent.event import Event
from gevent.threadpool import ThreadPool
from brubeck import logs

pause = monkey.get_original("time", "sleep")

class SlowOutput(io.StringIO):
    def write(self, text):
        pause(0.0005)  # here the other threads go on
        return super().write(text)

output = sys.stdout
sys.stdout = sys.stderr = written = SlowOutput()
logs.configure("INFO", "text")
logger = logging.getLogger("everywhere")

def log_in(place):
    for number in range(50):
        logger.info("%s %d", place, number)

all_logged = Event()

def log_in_the_loop(number):
    if number == 50:
        all_logged.set()
        return
    gevent.get_hub().loop.run_callback(log_in_the_loop, number + 1)
    logger.info("the loop %d", number)

threads = ThreadPool(4)
ends = [threads.spawn(log_in, f"thread {name}") for name in "abcd"]
ends.append(gevent.spawn(log_in, "a greenlet"))
log_in_the_loop(0)
gevent.joinall([*ends, all_logged], timeout=5)
output.write(written.getvalue())
output.flush()
os._exit(0)  # whatever a thread waits for
"""


def test_native_threads_and_the_event_loop_log_at_once_and_every_line_is_written() -> None:
    places = [*(f"thread {name}" for name in "abcd"), "a greenlet", "the loop"]
    lines = output_of(LOGS_EVERYWHERE).splitlines()
    assert sorted(line.partition(" everywhere: ")[2] for line in lines) == sorted(
        f"{place} {number}" for place in places for number in range(50)
    )


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_complaint_is_made_once_in_a_while_and_counts_those_between(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    clock = Clock()
    monkeypatch.setattr("brubeck.logs.time", clock)
    complain = Occasionally(logging.getLogger("brubeck.test"), logging.WARNING, seconds=5)
    # When
    for clock.now in (1000, 1001, 1004.9, 1005.1, 1006):
        complain("bad message %d", int(clock.now))
    # Then
    assert [entry.getMessage() for entry in caplog.records] == [
        "bad message 1000",
        "bad message 1005 (2 more like it)",
    ]

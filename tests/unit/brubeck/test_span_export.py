"""How spans are sent, and what is said if they cannot be."""

import logging
from typing import Any

import gevent
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from brubeck.span_export import ENCODED_AT_ONCE, WarnsOnce, _HashedOnce


class Failing(SpanExporter):
    """Fails, in one way or another, until it is told not to."""

    fails = True

    def export(self, _spans: Any) -> SpanExportResult:
        if self.fails:
            raise OSError("nobody is there")
        return SpanExportResult.SUCCESS


def test_a_receiver_that_fails_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    receiver = Failing()
    exporter = WarnsOnce(receiver)
    for receiver.fails in (True, True, False, False, True):
        exporter.export([])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


class Talking(SpanExporter):
    """Fails, with words that come through the library's own log."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def export(self, _spans: Any) -> SpanExportResult:
        for words in self.words:
            logging.getLogger("opentelemetry.exporter.otlp").error(words)
        return SpanExportResult.FAILURE


def said_by_us(caplog: pytest.LogCaptureFixture) -> str:
    """What is logged; the library's own lines are not."""
    lines = (r.getMessage() for r in caplog.records if r.name.startswith("brubeck"))
    return "\n".join(lines)


def test_what_others_say_of_their_own_is_no_reason_and_logged_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Meanwhile(Talking):
        def export(self, spans: Any) -> SpanExportResult:
            gevent.spawn(logging.getLogger("urllib3.connectionpool").warning, "a handler's").join()
            return super().export(spans)

    WarnsOnce(Meanwhile("nobody listens")).export([])

    assert "nobody listens" in said_by_us(caplog)
    assert "a handler's" in [record.getMessage() for record in caplog.records]


def test_the_reason_is_what_was_said_first(caplog: pytest.LogCaptureFixture) -> None:
    WarnsOnce(Talking("nobody listens", "gave up")).export([])
    assert "nobody listens" in said_by_us(caplog)
    assert "gave up" not in said_by_us(caplog)


@pytest.mark.parametrize(
    "words",
    [
        "No connection adapters were found for 'htp://user:S3CRET@host:4318/v1/traces'",
        "No connection adapters were found for 'htp://user:/S3CRET@@S3CRET@host:4318/v1/traces'",
        "Max retries exceeded with url: /v1/traces?key=S3CRET (Caused by NewConnectionError)",
        "Invalid header value 'Bearer S3CRET'",
    ],
)
def test_the_reason_holds_no_credential(caplog: pytest.LogCaptureFixture, words: str) -> None:
    WarnsOnce(Talking(words)).export([])
    assert "they are dropped" in said_by_us(caplog)
    assert "S3CRET" not in said_by_us(caplog)


class Encoding(SpanExporter):
    """Looks at each span, and at how many greenlets have run since the one before."""

    def __init__(self) -> None:
        self.turns = 0
        self.seen: list[int] = []

    def export(self, spans: Any) -> SpanExportResult:
        for _ in spans:
            self.seen.append(self.turns)
        return SpanExportResult.SUCCESS

    def take_turns(self) -> None:
        while True:
            self.turns += 1
            gevent.sleep(0)


def test_others_run_while_a_batch_is_encoded() -> None:
    receiver = Encoding()
    others = gevent.spawn(receiver.take_turns)
    batch = [ReadableSpan(str(number)) for number in range(5 * ENCODED_AT_ONCE)]
    WarnsOnce(receiver).export(batch)
    others.kill()
    assert len(receiver.seen) == len(batch)
    assert len(set(receiver.seen)) >= 4


def test_a_resource_that_is_hashed_once_is_the_same_as_before() -> None:
    resource = Resource({"service.name": "shop"}, "https://schema")
    hashed = _HashedOnce(resource)
    assert hashed == resource
    assert hash(hashed) == hash(resource)

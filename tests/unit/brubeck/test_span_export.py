"""What is said of spans that cannot be sent."""

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from brubeck.span_export import WarnsOnce


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

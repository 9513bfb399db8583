"""What is counted of the calls that a process makes."""

from types import SimpleNamespace
from typing import Any

import pytest
from gevent.pool import Pool

from brubeck.metrics import Metrics
from brubeckservice import client_connection
from brubeckservice.client import ServiceClientMixin
from brubeckservice.errors import ServiceRefused
from brubeckservice.measured_connection import MeasuredConnection
from brubeckservice.protocol import ServiceRequest
from tests.unit.brubeck.fakes import brubeck

ADDR = "tcp://127.0.0.1:9000"
PASSPHRASE = "a passphrase"


class OneReplica:
    """Stands in for replicas: one that takes calls and never reads them."""

    def __init__(self, *_: Any) -> None:
        self.session = SimpleNamespace(
            outstanding=0, limit=1, clock=0, endpoint=ADDR, send=lambda _: False
        )

    def take(self, **_: Any) -> Any:
        return self.session

    def give_back(self, *_: Any) -> None:
        """Take it."""

    def others(self, *_: Any) -> list[Any]:
        return []


@pytest.fixture(autouse=True)
def one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "Replicas", OneReplica)


def counted(metrics: Metrics) -> dict[Any, int]:
    """How many calls there were, by service and outcome."""
    return {labels: sum(series.counts) for labels, series in metrics.calls.series.items()}


def test_a_call_that_is_refused_because_too_many_are_under_way_is_counted_once() -> None:
    class Caller(ServiceClientMixin):
        application = brubeck(metrics_port=1)

    caller, metrics = Caller(), Caller.application.metrics
    caller.register_service(ADDR, PASSPHRASE)
    caller._services.open(ADDR).background = Pool(0)
    request = caller.create_service_request("/price")

    caller.send_service_request_nowait(ADDR, request)

    assert metrics is not None
    assert counted(metrics) == {(ADDR, "ServiceRefused"): 1}
    [(request_id, _)] = filter(None, metrics.calls.series[ADDR, "ServiceRefused"].newest)
    assert request_id == request.request_id


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"a": object()}, TypeError),
        ({"a": "a" * 2**20}, ValueError),
        ({}, ServiceRefused),
    ],
    ids=["no JSON", "too long", "nobody reads it"],
)
def test_a_call_that_cannot_be_sent_is_counted_by_its_errors_name(
    body: dict[str, Any], error: type[Exception]
) -> None:
    metrics = Metrics()
    connection = MeasuredConnection(ADDR, PASSPHRASE, metrics)

    with pytest.raises(error):
        connection.call(ServiceRequest(0, 0, "/price", body=body), 1.0)

    assert counted(metrics) == {(ADDR, error.__name__): 1}

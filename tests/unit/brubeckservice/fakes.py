"""What stands in for connections to services where a test needs no socket."""

from collections.abc import Callable
from typing import Any

import pytest
from gevent.pool import Pool

from brubeckservice import registry
from brubeckservice.client_connection import ServiceClientConnection
from brubeckservice.progress import OnProgress, OnSent
from brubeckservice.protocol import ServiceRequest, ServiceResponse


class FakeConnection:
    """Answers calls as `answer` says, and remembers what was asked of it."""

    made: list["FakeConnection"]
    answer: Callable[[ServiceRequest], ServiceResponse]

    def __init__(self, addr: Any, passphrase: str) -> None:
        self.addr = addr
        self.passphrase = passphrase
        self.background = Pool(10)
        self.calls: list[tuple[ServiceRequest, float, bool]] = []
        self.closed = False
        self.made.append(self)

    refuse = ServiceClientConnection.refuse

    def call(
        self,
        request: ServiceRequest,
        timeout: float,
        idempotent: bool = False,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> ServiceResponse:
        assert not self.closed
        self.calls.append((request, timeout, idempotent))
        if on_sent is not None:
            on_sent("fake-1")
        if on_progress is not None:
            on_progress(0.5, "half")
        return self.answer(request)

    def check_thread(self) -> None:
        pass

    def check(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def fake_connections(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[ServiceRequest], ServiceResponse] = lambda call: call.error_reply(200),
) -> list[FakeConnection]:
    """The connections that will be made from now on, instead of real ones."""
    made: list[FakeConnection] = []
    kind = type("Connection", (FakeConnection,), {"made": made, "answer": staticmethod(answer)})
    monkeypatch.setattr(registry, "ServiceClientConnection", kind)
    return made

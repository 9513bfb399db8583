"""What a handler calls a service with."""

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from msgspec.structs import replace

from brubeckservice import protocol
from brubeckservice.client import ServiceClientMixin
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
    ServiceUnavailable,
)
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from tests.unit.brubeck.fakes import brubeck
from tests.unit.brubeckservice.fakes import FakeConnection, fake_connections

ADDR = "tcp://127.0.0.1:9000"
PASSPHRASE = "a passphrase"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


LONGEST = {"id": protocol.MAX_ID, "budget": protocol.MAX_BUDGET, "sent": protocol.MAX_ID}
"""What is set in a request when it is sent, as long as it can be."""


class Told(ServiceMessageHandler):
    """Keeps the responses it is told in `application.told`."""

    def response(self) -> str:
        cast(Any, self.application).told.append(self.message)
        return "told"


class Caller(ServiceClientMixin):
    """Has an application; its `told` are the responses its handler saw."""

    def __init__(self) -> None:
        self.application = brubeck((r"^/told$", Told))
        self.told: list[ServiceResponse] = []
        cast(Any, self.application).told = self.told


class Loner(ServiceClientMixin):
    """Has no application."""


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_a_request_is_made_of_path_method_and_arguments(caller: Caller) -> None:
    request = caller.create_service_request("/p", "put", {"a": 1}, {"X": "1"})

    assert (request.path, request.method) == ("/p", "put")
    assert (request.body, request.headers) == ({"a": 1}, {"X": "1"})


def test_a_request_is_also_made_of_path_headers_and_body(caller: Caller) -> None:
    request = caller.create_service_request("/p", {"METHOD": "put", "X": "1"}, {"a": 1})

    assert (request.path, request.method) == ("/p", "put")
    assert (request.body, request.headers) == ({"a": 1}, {"METHOD": "put", "X": "1"})


def test_without_a_method_a_request_is_a_request(caller: Caller) -> None:
    assert caller.create_service_request("/p").method == "request"
    assert caller.create_service_request("/p", {}, {"a": 1}).method == "request"
    assert caller.create_service_request("/p", {}).body == {}


@pytest.mark.parametrize("method", ["", "head", "GET", "__init__", "_private", "render"])
def test_no_request_of_another_method_is_made(caller: Caller, method: str) -> None:
    with pytest.raises(ValueError, match="no method of services"):
        caller.create_service_request("/p", method)
    with pytest.raises(ValueError, match="no method of services"):
        caller.create_service_request("/p", {"METHOD": method}, {})


def test_a_request_is_its_own_whatever_becomes_of_what_it_was_made_of(caller: Caller) -> None:
    arguments, headers = {"a": 1}, {"X": "1"}
    request = caller.create_service_request("/p", "request", arguments, headers)

    arguments["a"] = 2
    headers["X"] = "2"

    assert (request.body, request.headers) == ({"a": 1}, {"X": "1"})
    assert caller.create_service_request("/p").headers is not request.headers


def test_a_request_carries_the_ids_of_what_caused_it(caller: Caller) -> None:
    headers = {"traceparent": TRACEPARENT}
    caller.message = SimpleNamespace(request_id="r-1", headers=headers)  # type: ignore[attr-defined]

    request = caller.create_service_request("/p")

    assert (request.request_id, request.traceparent) == ("r-1", TRACEPARENT)


def test_a_service_that_calls_on_hands_the_ids_down(caller: Caller) -> None:
    caller.message = ServiceRequest(  # type: ignore[attr-defined]
        1, 1000, "/p", request_id="r-1", traceparent=TRACEPARENT
    )

    request = caller.create_service_request("/q")

    assert (request.request_id, request.traceparent) == ("r-1", TRACEPARENT)


def test_a_request_caused_by_nothing_has_an_id_of_its_own(caller: Caller) -> None:
    one, another = caller.create_service_request("/p"), caller.create_service_request("/p")

    assert one.request_id
    assert one.request_id != another.request_id
    assert one.traceparent == ""


@pytest.mark.parametrize(
    "value", ["", "nonsense", TRACEPARENT.upper(), TRACEPARENT + "\n", 5, ["x"]]
)
def test_a_trace_that_is_none_is_not_handed_on(caller: Caller, value: object) -> None:
    headers = {"traceparent": value}
    caller.message = SimpleNamespace(request_id="r-1", headers=headers)  # type: ignore[attr-defined]

    assert caller.create_service_request("/p").traceparent == ""


def test_a_call_returns_the_response_and_what_the_handler_made_of_it(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    request = caller.create_service_request("/told")

    response, result = caller.send_service_request(ADDR, request)

    assert response == request.error_reply(200)
    assert result == "told"
    assert caller.told == [response]
    assert made[0].calls == [(request, 30.0, False)]


def test_a_call_may_have_a_timeout_and_be_repeatable(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    request = caller.create_service_request("/p")

    caller.send_service_request(ADDR, request, timeout=1.5, idempotent=True)

    assert made[0].calls == [(request, 1.5, True)]


def test_without_a_route_for_the_response_there_is_no_handler_response(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)

    response, result = caller.send_service_request(ADDR, caller.create_service_request("/p"))

    assert response.status_code == 200
    assert result is None


def test_without_an_application_each_call_has_its_connection_and_no_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fake_connections(monkeypatch)
    loner = Loner()
    loner.register_service(ADDR, PASSPHRASE)

    for _ in range(2):
        request = loner.create_service_request("/told")
        assert loner.send_service_request(ADDR, request) == (request.error_reply(200), None)

    assert [connection.closed for connection in made] == [True, True]


def test_a_failed_call_raises_and_its_connection_is_not_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: ServiceRequest) -> ServiceResponse:
        raise ServiceLost("lost")

    made = fake_connections(monkeypatch, fail)
    loner = Loner()
    loner.register_service(ADDR, PASSPHRASE)

    with pytest.raises(ServiceLost):
        loner.send_service_request(ADDR, loner.create_service_request("/p"))

    assert made[0].closed


def finish(made: list[FakeConnection]) -> None:
    """Wait for the calls whose callers do not."""
    for connection in made:
        assert connection.background.join(timeout=5)


def test_who_does_not_wait_goes_on_and_the_handler_is_told_later(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    request = caller.create_service_request("/told")

    caller.send_service_request_nowait(ADDR, request)
    assert caller.told == []

    finish(made)
    assert caller.told == [request.error_reply(200)]


def test_what_is_sent_is_what_it_was_when_the_caller_went_on(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    events, of = [{"name": "a"}], ["b"]
    request = caller.create_service_request("/told", "post", {"events": events}, {"X-Of": of})

    caller.send_service_request_nowait(ADDR, request)
    events[0]["name"] = "another"
    events.clear()
    of.clear()
    finish(made)

    ((sent, _, _),) = made[0].calls
    assert (sent.path, sent.method, sent.request_id) == ("/told", "post", request.request_id)
    assert (sent.body, sent.headers) == ({"events": [{"name": "a"}]}, {"X-Of": ["b"]})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServiceUnavailable, 503),
        (ServiceRefused, 503),
        (ServiceTimeout, 504),
        (ServiceLost, 502),
        (ServiceAuthError, 502),
        (ServiceProtocolError, 502),
    ],
)
def test_a_failed_call_nobody_waits_for_is_told_once_with_its_status(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, error: type[ServiceError], status: int
) -> None:
    def fail(_: ServiceRequest) -> ServiceResponse:
        raise error("what happened")

    made = fake_connections(monkeypatch, fail)
    caller.register_service(ADDR, PASSPHRASE)
    request = caller.create_service_request("/told")

    caller.send_service_request_nowait(ADDR, request)
    finish(made)

    (told,) = caller.told
    assert (told.status_code, told.status_msg, told.path) == (status, "what happened", "/told")
    assert told.request_id == request.request_id


def test_past_the_bound_of_calls_under_way_the_handler_is_told_at_once(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(call: ServiceRequest) -> ServiceResponse:
        gevent.sleep(0.01)
        return call.error_reply(200)

    made = fake_connections(monkeypatch, wait)
    caller.register_service(ADDR, PASSPHRASE)

    for _ in range(12):
        caller.send_service_request_nowait(ADDR, caller.create_service_request("/told"))
    assert [response.status_code for response in caller.told] == [503, 503]

    finish(made)
    assert [response.status_code for response in caller.told] == [503, 503] + 10 * [200]


def test_what_cannot_be_sent_fails_where_it_is_sent_also_if_nobody_waits(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    no_json = caller.create_service_request("/told", "request", {"a": object()})
    too_long = caller.create_service_request("/told", "request", {"a": "a" * 2**20})

    with pytest.raises(TypeError, match="cannot be sent"):
        caller.send_service_request_nowait(ADDR, no_json)
    with pytest.raises(ValueError, match="more than"):
        caller.send_service_request_nowait(ADDR, too_long)


def test_what_is_too_long_with_its_numbers_only_fails_in_the_same_place(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    short = caller.create_service_request("/told", "request", {"a": ""})
    room = protocol.MAX_MESSAGE_BYTES - len(protocol.encode(short))
    request = caller.create_service_request("/told", "request", {"a": "a" * (room - 5)})

    with pytest.raises(ValueError, match="more than"):
        caller.send_service_request_nowait(ADDR, request)

    assert made[0].calls == []


@pytest.mark.parametrize("longer", [0, 1])
def test_what_is_too_long_only_as_it_is_sent_fails_in_the_same_place(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, longer: int
) -> None:
    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    empty = caller.create_service_request("/told", "request", {"a": ""})
    room = protocol.MAX_MESSAGE_BYTES - len(protocol.encode(replace(empty, **LONGEST)))
    request = replace(empty, body={"a": "a" * (room + longer)})

    with pytest.raises(ValueError, match="more than") if longer else nullcontext():
        caller.send_service_request_nowait(ADDR, request)

    finish(made)
    assert len(made[0].calls) == 1 - longer


def test_what_is_too_long_only_with_its_trace_fails_in_the_same_place(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_connections(monkeypatch)
    monkeypatch.setattr(caller.application, "tracing", object())
    caller.register_service(ADDR, PASSPHRASE)
    empty = caller.create_service_request("/told", "request", {"a": ""})
    room = protocol.MAX_MESSAGE_BYTES - len(protocol.encode(replace(empty, **LONGEST)))
    request = replace(empty, body={"a": "a" * (room - len(TRACEPARENT) + 1)})

    with pytest.raises(ValueError, match="more than"):
        caller.send_service_request_nowait(ADDR, request)


def test_a_timeout_that_is_no_number_fails_in_the_same_place(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)

    with pytest.raises(ValueError, match="no number"):
        caller.send_service_request_nowait(
            ADDR, caller.create_service_request("/told"), timeout=math.nan
        )


@pytest.mark.parametrize("callback", ["on_progress", "on_sent"])
@pytest.mark.parametrize(
    "error",
    [
        LookupError("enough"),
        ServiceRefused("another call was"),
        gevent.Timeout(1),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_of_a_callback_that_fails_where_nobody_waits_the_handler_is_told(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    callback: str,
    error: BaseException,
) -> None:
    def cannot_stand_it(*_: Any) -> None:
        raise error

    made = fake_connections(monkeypatch)
    caller.register_service(ADDR, PASSPHRASE)
    request = caller.create_service_request("/told")

    options: dict[str, Any] = {callback: cannot_stand_it}
    caller.send_service_request_nowait(ADDR, request, **options)
    finish(made)

    (told,) = caller.told
    assert (told.status_code, told.request_id) == (502, request.request_id), "it may have run"
    assert told.status_msg.endswith(f"cannot_stand_it, which raised {type(error).__name__}")
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


@pytest.mark.parametrize("caller", [Caller(), Loner()], ids=["kept", "not kept"])
def test_who_calls_what_was_not_registered_is_told_so(caller: ServiceClientMixin) -> None:
    request = caller.create_service_request("/p")

    for call in (
        lambda: caller.send_service_request(ADDR, request),
        lambda: caller.send_service_request_nowait(ADDR, request),
        lambda: caller.check_service(ADDR),
    ):
        with pytest.raises(LookupError, match="not registered"):
            call()

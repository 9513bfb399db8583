"""The harness for tests of applications is as strict as the wire."""

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from brubeck.application import Brubeck
from brubeck.errors import BadRequest
from brubeck.web_handlers import WebMessageHandler
from brubeckservice import protocol
from brubeckservice.client import ServiceClientMixin
from brubeckservice.errors import ServiceError, ServiceLost, ServiceTimeout, ServiceUnavailable
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.testing import NoConnection, StandIn, call_service, call_web, stand_in

ADDR = "tcp://prices:9000"


class Price(ServiceMessageHandler):
    """The service: knows the price of tea."""

    def request(self) -> Any:
        if self.message.get_argument("of") != "tea":
            raise BadRequest("of what?")
        self.add_to_payload("price", 7)
        self.headers = {"METHOD": "response", "CURRENCY": "EUR"}
        return self.render(200)

    def put(self) -> Any:
        self.add_to_payload("price", object())
        return self.render(200)


class PricePage(ServiceClientMixin, WebMessageHandler):
    """The page: asks the service, or has somebody told."""

    service_timeout = 2.5

    def prepare(self) -> None:
        self.register_service(ADDR, "a passphrase that nobody needs here")

    def get(self, of: str) -> Any:
        self.check_service(ADDR)
        request = self.create_service_request("/price", "request", {"of": of})
        response, handled = self.send_service_request(ADDR, request)
        self.set_body(f"{response.status_code} {response.get_argument('price')} {handled}")
        return self.render()

    def post(self, of: str) -> Any:
        request = self.create_service_request("/price", "request", {"of": of})
        self.send_service_request_nowait(ADDR, request)
        self.set_body("asked")
        return self.render()

    def put(self, of: str) -> Any:
        self.set_body(of, {"X-Of": self.get_argument("header") or ""})
        self.set_cookie("seen", self.get_cookie("seen", "never"))
        return self.render()


class PriceTold(ServiceMessageHandler):
    """Told of each response."""

    told: list[tuple[int, Any]]

    def response(self) -> Any:
        self.told.append((self.status_code, self.message.get_argument("price")))
        return "handled"


@pytest.fixture
def service() -> Brubeck:
    return Brubeck(NoConnection(), [(r"^/price$", Price)])


@pytest.fixture
def told() -> list[tuple[int, Any]]:
    """What the handler for responses was told."""
    return []


@pytest.fixture
def site(told: list[tuple[int, Any]]) -> Brubeck:
    handler = type("PriceTold", (PriceTold,), {"told": told})
    return Brubeck(NoConnection(), [(r"^/price/(\w+)$", PricePage), (r"^/price$", handler)])


# Browsers


def test_a_page_is_asked_for_as_a_browser_would(site: Brubeck) -> None:
    cookie = {"Cookie": "seen=yesterday"}
    response = call_web(site, "PUT", "/price/tea?header=%20hot%20", headers=cookie)
    assert (response.status_code, response.body) == (200, b"tea")
    assert response.headers["X-Of"] == "hot"
    assert response.headers["Set-Cookie"] == ["seen=yesterday; Path=/"]


def test_a_form_is_sent_as_a_browser_would(site: Brubeck) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = call_web(site, "PUT", "/price/tea", body=b"header=hot", headers=form)
    assert response.headers["X-Of"] == "hot"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/price/tea", 405)]
)
def test_an_error_is_answered_as_a_browser_would_see_it(
    site: Brubeck, method: str, path: str, status: int
) -> None:
    assert call_web(site, method, path).status_code == status


def test_an_answer_that_cannot_be_sent_fails_the_test(site: Brubeck) -> None:
    with pytest.raises(ValueError, match="X-Of"):
        call_web(site, "PUT", "/price/tea?header=a%0Ab")


# Services


def test_a_service_is_asked_as_another_instance_would(service: Brubeck) -> None:
    response = call_service(service, "/price", arguments={"of": "tea"})
    assert (response.status_code, response.status_msg) == (200, "OK")
    assert response.body == {"price": 7}
    assert response.headers == {"METHOD": "response", "CURRENCY": "EUR"}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/price", "request", 400), ("/price", "delete", 405), ("/nowhere", "request", 404)],
)
def test_an_error_is_answered_as_another_instance_would_see_it(
    service: Brubeck, path: str, method: str, status: int
) -> None:
    assert call_service(service, path, method).status_code == status


def test_a_response_from_elsewhere_answers_the_call_as_it_would_another_instances() -> None:
    class HandsOn(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            return ServiceResponse(77, 200, "OK", "/of-another")

    response = call_service(Brubeck(NoConnection(), [(r"^/p$", HandsOn)]), "/p")

    assert (response.id, response.path) == (1, "/p")


def test_what_has_no_json_form_fails_the_test_on_either_way(service: Brubeck) -> None:
    with pytest.raises(TypeError, match="JSON"):
        call_service(service, "/price", arguments={"of": object()})
    with pytest.raises(TypeError, match="JSON"):
        call_service(service, "/price", "put")


def test_what_is_too_long_fails_the_test(service: Brubeck) -> None:
    with pytest.raises(ValueError, match="bytes"):
        call_service(service, "/price", arguments={"of": "x" * 2**20})


# Stand-ins


@pytest.fixture(params=["an application", "a payload", "a response"])
def tea_at_7(request: pytest.FixtureRequest, service: Brubeck) -> Any:
    """What can stand in for the service."""
    functions: dict[str, Callable[[ServiceRequest], Any]] = {
        "a payload": lambda _: {"price": 7},
        "a response": lambda call: ServiceResponse(
            call.id, 200, "OK", call.path, body={"price": 7}
        ),
    }
    return functions.get(request.param, service)


def test_a_call_is_answered_by_the_stand_in(
    site: Brubeck, tea_at_7: Any, told: list[tuple[int, Any]]
) -> None:
    with stand_in(site, ADDR, tea_at_7) as standing_in:
        response = call_web(site, "GET", "/price/tea")

    assert response.body == b"200 7 handled"
    assert told == [(200, 7)]
    (request,) = standing_in.requests
    assert (request.path, request.method, request.body) == ("/price", "request", {"of": "tea"})
    assert (request.id, request.budget) == (1, 2500)


def test_a_call_that_does_not_wait_is_answered_before_it_returns(
    site: Brubeck, tea_at_7: Any, told: list[tuple[int, Any]]
) -> None:
    with stand_in(site, ADDR, tea_at_7):
        assert call_web(site, "POST", "/price/tea").body == b"asked"
        assert told == [(200, 7)]
        assert site.finish_background(10.0) == 0


def test_a_service_that_answers_with_an_error_is_no_error_of_the_call(
    site: Brubeck, service: Brubeck
) -> None:
    with stand_in(site, ADDR, service):
        assert call_web(site, "GET", "/price/coffee").body == b"400 None handled"


def lost_on_the_way(_request: ServiceRequest) -> ServiceResponse:
    raise ServiceLost("the replica died")


@pytest.mark.parametrize(
    ("service", "status"),
    [
        (ServiceUnavailable("nobody there"), 503),
        (ServiceTimeout("too late"), 504),
        (ServiceLost("the replica died"), 502),
        (lost_on_the_way, 502),
    ],
    ids=["unavailable", "timeout", "lost", "raised by a function"],
)
def test_a_stand_in_can_fail(
    site: Brubeck, service: ServiceError, status: int, told: list[tuple[int, Any]]
) -> None:
    with stand_in(site, ADDR, service):
        assert call_web(site, "GET", "/price/tea").status_code == status
        assert told == []  # a call that waits is told by its exception
        assert call_web(site, "POST", "/price/tea").body == b"asked"
        assert told == [(status, None)]


def test_each_call_fails_with_an_error_of_its_own(site: Brubeck) -> None:
    error = ServiceTimeout("too late")
    with stand_in(site, ADDR, error) as standing_in:
        with pytest.raises(ServiceTimeout, match="too late") as raised:
            standing_in.check()
        assert raised.value is not error


@pytest.mark.parametrize("answer", [None, "7", 200])
def test_a_stand_in_that_answers_with_something_else_fails_clearly(answer: Any) -> None:
    request = ServiceRequest(0, 0, "/price")
    with pytest.raises(TypeError, match=f"{answer!r} is no ServiceResponse"):
        StandIn(lambda _: answer).call(request, 1.0)


def test_what_no_service_would_get_or_send_does_not_reach_a_stand_in(site: Brubeck) -> None:
    request = ServiceRequest(0, 0, "/price", body={"of": object()})
    with pytest.raises(TypeError, match="JSON"):
        StandIn(lambda _: {}).call(request, 1.0)
    with pytest.raises(TypeError, match="JSON"):
        StandIn(lambda _: {"price": object()}).call(ServiceRequest(0, 0, "/price"), 1.0)


@pytest.mark.parametrize("timeout", [math.inf, 1_000_000])
def test_a_stand_in_has_no_more_time_than_a_call_can_have(timeout: float) -> None:
    standing_in = StandIn(lambda _: {})

    standing_in.call(ServiceRequest(0, 0, "/price"), timeout)

    assert [request.budget for request in standing_in.requests] == [protocol.MAX_BUDGET]


def test_a_call_without_time_does_not_reach_a_stand_in() -> None:
    standing_in = StandIn(lambda _: {})

    with pytest.raises(ServiceTimeout) as raised:
        standing_in.call(ServiceRequest(0, 0, "/price"), 0)

    assert not raised.value.may_have_run
    assert standing_in.requests == []


def test_a_stand_in_is_gone_after_its_block_and_what_was_there_before_is_closed(
    site: Brubeck,
) -> None:
    before = Mock()
    site._resources[ADDR,] = before
    with stand_in(site, ADDR, lambda _: {"price": 1}):
        before.close.assert_called_once_with()
    assert site._resources == {}


def test_a_stand_in_within_another_takes_its_place_for_as_long_as_its_block(site: Brubeck) -> None:
    with stand_in(site, ADDR, lambda _: {"price": 1}):
        with stand_in(site, ADDR, lambda _: {"price": 2}):
            assert call_web(site, "GET", "/price/tea").body == b"200 2 handled"
        assert call_web(site, "GET", "/price/tea").body == b"200 1 handled"
    assert site._resources == {}


def test_what_a_follower_of_progress_raises_is_raised_at_the_caller_as_with_a_service() -> None:
    class Halfway(ServiceMessageHandler):
        def request(self) -> Any:
            self.progress(0.5)
            raise AssertionError("the call went on")

    class Follower(ServiceClientMixin):
        application = Brubeck(NoConnection(), [])

    def fail(*_: Any) -> None:
        raise LookupError("what the follower made of it")

    caller = Follower()
    request = caller.create_service_request("/half")
    service = Brubeck(NoConnection(), [(r"^/half$", Halfway)])
    with (
        stand_in(caller.application, ADDR, service),
        pytest.raises(LookupError, match="what the follower made of it"),
    ):
        caller.send_service_request(ADDR, request, on_progress=fail)


def test_a_stand_in_for_several_addresses_answers_calls_to_them(site: Brubeck) -> None:
    addrs = ["tcp://a:9000", "tcp://b:9000"]
    caller = PricePage(site, None)
    with stand_in(site, addrs, lambda _: {"price": 3}):
        response, _ = caller.send_service_request(addrs, caller.create_service_request("/price"))
    assert response.get_argument("price") == 3


def test_the_progress_of_a_stand_in_is_told() -> None:
    class Halfway(ServiceMessageHandler):
        def request(self) -> Any:
            self.progress(0.5, "half")
            return self.render(200)

    class Follower(ServiceClientMixin):
        application = Brubeck(NoConnection(), [])

    told: list[tuple[float, str]] = []
    caller = Follower()
    with stand_in(caller.application, ADDR, Brubeck(NoConnection(), [(r"^/price$", Halfway)])):
        caller.send_service_request(
            ADDR,
            caller.create_service_request("/price"),
            on_progress=lambda *progress: told.append(progress),
        )

    assert told == [(0.5, "half")]

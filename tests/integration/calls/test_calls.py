"""Calls between two instances that are well: what comes back, and who is told."""

import logging
import math
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from brubeck.request_handling import WebMessageHandler
from brubeckservice.base import (
    ServiceClientMixin,
    ServiceLost,
    ServiceMessageHandler,
    ServiceRequest,
    ServiceResponse,
    ServiceTimeout,
)
from brubeckservice.protocol import MAX_BUDGET
from tests.integration.calls.instances import (
    ECHO,
    PASSPHRASE,
    Caller,
    Routes,
    Service,
    free_address,
)
from tests.integration.calls.raw_peers import Message, RawService, an_echo
from tests.waiting import eventually

Serve = Callable[..., Service]
NewCaller = Callable[..., Caller]


class Told(ServiceMessageHandler):
    """A response handler that keeps what it was told."""

    told: list[tuple[int, str, dict[str, Any]]]

    def response(self) -> str:
        self.told.append((self.status_code, self.status_msg, self.message.body))
        return f"told of {self.status_code}"


def told_about(path: str) -> tuple[list[Any], Routes]:
    """A list of what the response handler for `path` was told, and its route."""
    told: list[Any] = []
    return told, [(path, type("TellsUs", (Told,), {"told": told}))]


def test_a_call_brings_the_answer_back(serve: Serve, caller: Caller, addr: str) -> None:
    serve(addr=addr)

    response, result = caller.ask(addr, "/echo", {"text": "I made a round trip."})

    assert (response.status_code, response.status_msg) == (200, "echoed")
    assert (response.path, response.method) == ("/echo", "response")
    assert response.body == {"text": "I made a round trip."}
    assert result is None


def test_the_address_may_have_a_name_behind_it(serve: Serve, caller: Caller) -> None:
    service = serve()

    response, _ = caller.ask(f"{service.addr}/my_service")

    assert response.status_code == 200


def test_any_text_makes_the_round_trip(serve: Serve, caller: Caller, addr: str) -> None:
    path = "/a path/mit Umläuten/☃/𝄞"
    serve([(r"^/a path/mit Umläuten/☃/𝄞$", ECHO[0][1])], addr=addr)
    arguments: dict[str, Any] = {
        "": "",
        " ": "a  b",
        "ü": "☃𝄞\x00\n\r\t",
        '"': "'\\",
        "n": [1.5, None, {}],
    }

    response, _ = caller.ask(addr, path, arguments)

    assert response.path == path
    assert response.body == arguments


def test_a_payload_of_almost_the_largest_size_makes_the_round_trip(
    serve: Serve, caller: Caller, addr: str
) -> None:
    serve(addr=addr)
    text = "x" * (1024 * 1024 - 1000)

    response, _ = caller.ask(addr, "/echo", {"text": text})

    assert response.body == {"text": text}


def test_a_payload_past_the_bound_is_refused_before_it_is_sent(
    serve: Serve, caller: Caller
) -> None:
    service = serve()

    with pytest.raises(ValueError, match="more than 1048576"):
        caller.ask(service.addr, "/echo", {"text": "x" * 1024 * 1024})

    assert caller.ask(service.addr)[0].status_code == 200


def test_many_calls_at_once_each_get_their_own_answer(serve: Serve, new_caller: NewCaller) -> None:
    service = serve()
    callers = [new_caller(), new_caller()]  # two applications, whose ids are the same

    with gevent.Timeout(20):
        calls = [
            gevent.spawn(caller.ask, service.addr, "/echo", {"who": [number, n], "seconds": 0.1})
            for n in range(100)
            for number, caller in enumerate(callers)
        ]
        answers = [call.get()[0].body["who"] for call in calls]

    assert answers == [[number, n] for n in range(100) for number in range(2)]


@pytest.mark.parametrize("path", ["/p", "/of-another"])
def test_a_response_that_a_handler_has_from_elsewhere_answers_the_call_it_is_returned_for(
    serve: Serve, caller: Caller, path: str
) -> None:
    from_elsewhere = ServiceResponse(2, 200, "kept", path, body={"a": 1}, request_id="another")

    class HandsOn(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            return from_elsewhere

    service = serve([("^/p$", HandsOn)])

    for _ in range(3):  # calls 1 to 3
        response, _ = caller.ask(service.addr, "/p", timeout=5)

        assert response.path == "/p"
        assert response.body == {"a": 1}


def test_a_call_blocks_nobody_but_its_caller(serve: Serve, caller: Caller) -> None:
    service = serve()
    caller.ask(service.addr)
    slow = gevent.spawn(caller.ask, service.addr, "/echo", {"seconds": 1})
    eventually(lambda: service.in_hand == 1, "the slow call is in hand", seconds=5)

    caller.ask(service.addr)

    assert not slow.ready()
    assert slow.get(timeout=10)[0].status_code == 200


def test_a_handler_of_the_caller_is_told_the_response_and_its_result_is_returned(
    serve: Serve, new_caller: NewCaller
) -> None:
    told, routes = told_about("^/echo$")
    service = serve()

    response, result = new_caller(routes).ask(service.addr, "/echo", {"a": 1})

    assert told == [(200, "echoed", {"a": 1})]
    assert result == "told of 200"
    assert response.body == {"a": 1}


def test_a_call_nobody_waits_for_is_told_to_the_handler_once(
    serve: Serve, new_caller: NewCaller
) -> None:
    told, routes = told_about("^/echo$")
    service = serve()
    caller = new_caller(routes)

    caller.tell(service.addr, "/echo", {"a": 1, "seconds": 0.1})
    assert told == []

    eventually(lambda: told, "the handler is told", seconds=5)
    caller.ask(service.addr, "/echo")
    assert told == [(200, "echoed", {"a": 1, "seconds": 0.1}), (200, "echoed", {})]


def test_the_method_of_the_response_chooses_the_method_that_is_told(
    serve: Serve, new_caller: NewCaller
) -> None:
    class AnswersPut(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.set_status(200)
            self.headers = {"METHOD": "put"}
            return self.render()

    class ToldPut(ServiceMessageHandler):
        def put(self) -> str:
            return "put"

        def response(self) -> str:
            return "response"

    service = serve([("^/p$", AnswersPut)])

    response, result = new_caller([("^/p$", ToldPut)]).ask(service.addr, "/p")

    assert (response.method, result) == ("put", "put")


def test_a_response_never_reaches_a_handler_of_browsers(
    serve: Serve, new_caller: NewCaller
) -> None:
    class Page(WebMessageHandler):
        def get(self) -> Any:
            raise AssertionError("a service reached a web handler")

        response = post = get

    class AnswersGet(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.set_status(200)
            self.headers = {"METHOD": self.message.get_argument("method")}
            return self.render()

    service = serve([("^/p$", AnswersGet)])
    caller = new_caller([("^/p$", Page)])

    for method in ("response", "get", "post"):
        assert caller.ask(service.addr, "/p", {"method": method})[1] is None


class Everything(ServiceMessageHandler):
    """Has more methods than may be called."""

    def request(self) -> ServiceResponse:
        self.set_status(200)
        self.add_to_payload("ran", self.message.method)
        return self.render()

    get = post = put = delete = options = connect = response = request
    head = trace = helper = _private = request


def call_with_method(caller: Caller, addr: str, method: str) -> ServiceResponse:
    """The answer to a call whose method nobody checked at the caller."""
    caller.register_service(addr, PASSPHRASE)
    request = replace(caller.create_service_request("/p"), method=method)
    return caller.send_service_request(addr, request)[0]


def test_the_eight_methods_and_no_other_name_can_be_called(serve: Serve, caller: Caller) -> None:
    service = serve([("^/p$", Everything)])

    for method in ("get", "post", "put", "delete", "options", "connect", "request", "response"):
        answer = call_with_method(caller, service.addr, method)
        assert (answer.status_code, answer.body) == (200, {"ran": method})
    for method in ("head", "trace", "helper", "_private", "__init__", "__class__", "render", ""):
        answer = call_with_method(caller, service.addr, method)
        assert (answer.status_code, answer.body) == (405, {})


class Goes(ServiceMessageHandler):
    """Goes wrong in the way its argument says."""

    def request(self) -> Any:
        self.set_status(200)
        return getattr(self, "_" + self.message.get_argument("how"))()

    def _raises(self) -> Any:
        raise KeyError("a secret of the service")

    def _returns_nothing(self) -> Any:
        return None

    def _returns_bytes(self) -> Any:
        return b"bytes"

    def _has_no_json_form(self) -> Any:
        self.add_to_payload("object", object())
        return self.render()

    def _has_headers_without_json_form(self) -> Any:
        self.headers = {"X": {1j}}
        return self.render()

    def _is_too_long(self) -> Any:
        self.add_to_payload("text", "x" * 2 * 1024 * 1024)
        return self.render()

    def _has_too_long_a_status_message(self) -> Any:
        self.set_status(200, "x" * 1001)
        return self.render()

    def _has_a_method_that_is_none(self) -> Any:
        self.headers = {"METHOD": 5}
        return self.render()

    def _sets_a_status_that_is_none(self) -> Any:
        self.set_status(1000)

    def _ends_its_greenlet(self) -> Any:
        raise gevent.GreenletExit

    def _times_out_by_itself(self) -> Any:
        with gevent.Timeout(0.01):
            gevent.sleep(5)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("raises", 500),
        ("returns_nothing", 500),
        ("returns_bytes", 500),
        ("has_no_json_form", 500),
        ("has_headers_without_json_form", 500),
        ("is_too_long", 413),
        ("has_too_long_a_status_message", 500),
        ("has_a_method_that_is_none", 500),
        ("sets_a_status_that_is_none", 500),
        ("ends_its_greenlet", 500),
        ("times_out_by_itself", 500),
    ],
)
def test_whatever_goes_wrong_in_a_handler_the_call_is_answered_and_so_is_the_next(
    serve: Serve, new_caller: NewCaller, how: str, status: int
) -> None:
    _, routes = told_about("^/goes$")
    service = serve([("^/goes$", Goes), *ECHO])
    caller = new_caller(routes)

    response, result = caller.ask(service.addr, "/goes", {"how": how})

    assert response.status_code == status
    assert "secret" not in repr(response)
    assert result == f"told of {status}"
    assert caller.ask(service.addr, "/echo", {"a": 1})[0].body == {"a": 1}


def test_an_unknown_path_is_answered_404_at_once(serve: Serve, caller: Caller) -> None:
    service = serve()

    with gevent.Timeout(5):
        response, _ = caller.ask(service.addr, "/nowhere", timeout=60)

    assert (response.status_code, response.path) == (404, "/nowhere")


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_call_without_time_is_not_sent(
    raw_service: Callable[..., RawService], caller: Caller, timeout: float
) -> None:
    service = raw_service()
    caller.wait_for_replicas(service.addr, 1)

    with pytest.raises(ServiceTimeout, match="not sent") as raised:
        caller.ask(service.addr, timeout=timeout)

    assert not raised.value.may_have_run
    caller.ask(service.addr)
    assert len(service.calls) == 1


def test_a_call_that_may_take_forever_has_as_long_as_any_can_have(
    raw_service: Callable[..., RawService], caller: Caller
) -> None:
    service = raw_service()

    caller.ask(service.addr, timeout=math.inf)

    ((_, _, budget, *_),) = service.calls
    assert MAX_BUDGET - 60_000 < budget <= MAX_BUDGET


def test_a_timeout_that_is_no_number_is_told_and_leaves_nothing(
    serve: Serve, caller: Caller
) -> None:
    service = serve()

    with pytest.raises(ValueError, match="no number"):
        caller.ask(service.addr, timeout=math.nan)

    assert caller.waiting() == 0


def test_a_call_from_another_thread_fails_there_whether_it_waits_or_not(
    serve: Serve, caller: Caller
) -> None:
    service = serve()
    connection = caller.connection(service.addr)

    for call in (caller.ask, caller.tell):
        with pytest.raises(RuntimeError, match="another thread"):
            gevent.get_hub().threadpool.apply(call, (service.addr,))

    assert len(connection.background) == 0


def test_a_service_that_was_registered_in_another_thread_only_can_still_be_called(
    serve: Serve, caller: Caller
) -> None:
    service = serve()

    with pytest.raises(RuntimeError, match="another thread"):
        gevent.get_hub().threadpool.apply(caller.register_service, (service.addr, PASSPHRASE))

    assert caller.ask(service.addr)[0].status_code == 200


def test_a_service_is_not_looked_for_in_another_thread(serve: Serve, caller: Caller) -> None:
    service = serve()
    caller.ask(service.addr)

    with pytest.raises(RuntimeError, match="another thread"):
        gevent.get_hub().threadpool.apply(caller.check_service, (service.addr,))

    caller.check_service(service.addr)


def test_a_large_replica_is_found_behind_any_number_of_small_ones_that_are_full(
    raw_service: Callable[..., RawService], caller: Caller
) -> None:
    def answers_if_asked_something(call: Message) -> list[Message]:
        return an_echo(call) if call[6] else []

    small = [
        raw_service(lambda _: [], greeting=["welcome", 1, f"small {number}", 1])
        for number in range(4)
    ]
    large = raw_service(answers_if_asked_something)
    addr = [service.addr for service in (*small, large)]
    caller.wait_for_replicas(addr, 5)
    waiting = [gevent.spawn(caller.ask, addr) for _ in range(6)]
    eventually(lambda: caller.waiting() == 6, "two are at the large one", seconds=5)

    assert caller.ask(addr, "/echo", {"a": 1})[0].body == {"a": 1}

    assert [len(service.calls) for service in small] == [1] * 4
    gevent.killall(waiting)


def test_a_lost_call_that_finds_no_room_when_it_is_tried_again_counts_as_lost(
    serve: Serve, caller: Caller
) -> None:
    addr = [serve().addr, serve().addr]
    caller.wait_for_replicas(addr, 2)
    pending = caller.connection(addr).pending

    def cut_off(instance: str) -> None:
        pending.limit = 0
        (session,) = (s for s in caller.sessions(addr) if s.instance == instance)
        gevent.get_hub().loop.run_callback(session._end, ServiceLost("cut"))

    with pytest.raises(ServiceLost):
        caller.ask(addr, "/echo", {"seconds": 1}, idempotent=True, on_sent=cut_off)


def test_who_has_no_application_can_call_and_keeps_no_connection(serve: Serve) -> None:
    class Loner(ServiceClientMixin):
        pass

    service = serve()
    loner = Loner()
    loner.register_service(service.addr, PASSPHRASE)

    for text in ("one", "two"):
        request = loner.create_service_request("/echo", "request", {"text": text})
        response, result = loner.send_service_request(service.addr, request, timeout=10)
        assert (response.body, result) == ({"text": text}, None)

    loner.send_service_request_nowait(service.addr, loner.create_service_request("/echo"))
    assert service.callers == 2  # one for each call so far
    eventually(lambda: service.callers == 3, "the last call makes its own", seconds=5)
    eventually(lambda: service.in_hand == 0, "it is answered", seconds=5)


def test_all_handlers_of_an_application_share_one_connection(serve: Serve, caller: Caller) -> None:
    class Another(ServiceClientMixin):
        application = caller.application

    service = serve()
    caller.ask(service.addr)
    another = Another()
    another.register_service(service.addr, PASSPHRASE)

    another.send_service_request(service.addr, another.create_service_request("/echo"))

    assert service.callers == 1
    assert len(caller.application._resources) == 1


def test_a_forgotten_service_ends_its_calls_and_can_be_registered_anew(
    serve: Serve, new_caller: NewCaller
) -> None:
    told, routes = told_about("^/echo$")
    service = serve()
    caller = new_caller(routes)
    caller.ask(service.addr)
    caller.tell(service.addr, "/echo", {"seconds": 0.5})
    eventually(lambda: service.in_hand == 1, "the call is in hand", seconds=5)
    caller.tell(service.addr)

    caller.unregister_service(service.addr)

    eventually(lambda: len(told) == 3, "the handler is told of both ends", seconds=5)
    assert [status for status, *_ in told[1:]] == [502, 502]
    with pytest.raises(LookupError):
        caller.send_service_request(service.addr, caller.create_service_request("/echo"))
    assert caller.ask(service.addr)[0].status_code == 200


def test_a_service_forgotten_before_it_was_reached_ends_its_calls_at_once(
    new_caller: NewCaller,
) -> None:
    told, routes = told_about("^/echo$")
    caller = new_caller(routes)
    nowhere = free_address()
    caller.tell(nowhere)

    caller.unregister_service(nowhere)

    eventually(lambda: told, "the handler is told", seconds=2)
    assert [status for status, *_ in told] == [503]


def test_a_service_may_call_another_one(serve: Serve, caller: Caller) -> None:
    behind = serve()

    class CallsOn(ServiceClientMixin, ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.register_service(behind.addr, PASSPHRASE)
            request = self.create_service_request("/echo", "request", self.message.arguments)
            response, _ = self.send_service_request(behind.addr, request)
            self.set_status(response.status_code)
            self.add_to_payload("behind", response.body)
            return self.render()

    front = serve([("^/front$", CallsOn)])

    response, _ = caller.ask(front.addr, "/front", {"a": 1})

    assert response.body == {"behind": {"a": 1}}


def test_who_stops_finishes_the_calls_that_nobody_waits_for_and_is_told_of_them(
    serve: Serve, caller: Caller
) -> None:
    behind = serve()
    told, routes = told_about("^/echo$")

    class TellsOn(ServiceClientMixin, ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.register_service(behind.addr, PASSPHRASE)
            request = self.create_service_request("/echo", "request", self.message.arguments)
            self.send_service_request_nowait(behind.addr, request)
            self.set_status(202)
            return self.render()

    front = serve([("^/front$", TellsOn), *routes])
    response, _ = caller.ask(front.addr, "/front", {"seconds": 1})
    assert (response.status_code, told) == (202, [])

    front.stop()

    assert told == [(200, "echoed", {"seconds": 1})]


def test_every_hop_logs_a_line_with_the_id_of_what_caused_the_call(
    serve: Serve, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    service = serve()
    caller.message = ServiceRequest(1, 1, "/page", request_id="page-7")  # type: ignore[attr-defined]
    caplog.set_level(logging.DEBUG)

    caller.ask(service.addr)

    lines = [r.getMessage() for r in caplog.records if getattr(r, "request_id", "") == "page-7"]
    assert [line.split()[0] for line in lines] == ["calling", "called", "answered"]
    assert all("/echo" in line for line in lines)


def test_a_check_says_whether_a_call_would_be_taken(serve: Serve, caller: Caller) -> None:
    service = serve()
    caller.register_service(service.addr, PASSPHRASE)

    caller.check_service(service.addr)

    assert service.connection.health() == "ok"

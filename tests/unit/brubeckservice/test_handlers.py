"""Service handlers, asked through an application as a connection asks them."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import gevent
import pytest
from gevent import monkey

from brubeck.application import Brubeck
from brubeck.errors import BadRequest
from brubeck.handlers import MessageHandler
from brubeckservice import protocol
from brubeckservice.handlers import THREADS, ServiceMessageHandler, _threads_of
from brubeckservice.progress import reporter
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from tests.unit.brubeck.fakes import brubeck


def request(method: str = "request", path: str = "/p", **body: Any) -> ServiceRequest:
    return ServiceRequest(7, 1000, path, method, body=body, request_id="r-1")


def response(
    status_code: int = 200, status_msg: str = "OK", method: str = "response"
) -> ServiceResponse:
    return ServiceResponse(7, status_code, status_msg, "/p", method, request_id="r-1")


def ask(target: type, message: ServiceRequest) -> Any:
    """What a service with this handler answers."""
    return brubeck((r"^/p$", target)).handle(message, ServiceMessageHandler)


def tell(application: Brubeck, message: ServiceResponse) -> Any:
    """What an application's handler makes of a response."""
    return application.handle(message)


class Everything(ServiceMessageHandler):
    """Has a method of every name that exists, and says which one ran."""

    def _ran(self, name: str) -> ServiceResponse:
        self.set_status(200)
        self.add_to_payload("ran", name)
        return self.render()

    def get(self) -> ServiceResponse:
        return self._ran("get")

    def post(self) -> ServiceResponse:
        return self._ran("post")

    def put(self) -> ServiceResponse:
        return self._ran("put")

    def delete(self) -> ServiceResponse:
        return self._ran("delete")

    def options(self) -> ServiceResponse:
        return self._ran("options")

    def connect(self) -> ServiceResponse:
        return self._ran("connect")

    def request(self) -> ServiceResponse:
        return self._ran("request")

    def response(self) -> ServiceResponse:
        return self._ran("response")

    def head(self) -> ServiceResponse:
        return self._ran("head")

    def helper(self) -> ServiceResponse:
        return self._ran("helper")

    def _private(self) -> ServiceResponse:
        return self._ran("_private")


@pytest.mark.parametrize("method", sorted(protocol.METHODS))
def test_a_call_runs_the_method_of_its_name(method: str) -> None:
    answer = ask(Everything, request(method))

    assert (answer.status_code, answer.body) == (200, {"ran": method})


NO_METHODS = [
    "",
    "head",
    "trace",
    "helper",
    "_private",
    "__init__",
    "__class__",
    "render",
    "error",
    "prepare",
    "message",
    "METHODS",
    "get ",
    "get\0",
]


@pytest.mark.parametrize("method", NO_METHODS)
def test_no_other_name_runs_anything(method: str) -> None:
    answer = ask(Everything, request(method))

    assert (answer.status_code, answer.body) == (405, {})
    assert answer.headers["Allow"] == "CONNECT, DELETE, GET, OPTIONS, POST, PUT, REQUEST, RESPONSE"


def test_head_is_not_get_here() -> None:
    class Gets(ServiceMessageHandler):
        def get(self) -> ServiceResponse:
            self.set_status(200)
            return self.render()

    answer = ask(Gets, request("head"))

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"


def test_an_answer_is_about_the_call() -> None:
    class Echo(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.add_to_payload("a", self.message.get_argument("a"))
            self.add_to_payload("b", self.message.body["b"])
            self.set_status(201, "Made")
            return self.render()

    answer = ask(Echo, request(a=1, b=2))

    assert answer == ServiceResponse(
        7, 201, "Made", "/p", "response", {}, {"a": 1, "b": 2}, request_id="r-1"
    )


@pytest.mark.parametrize(
    ("headers", "method"),
    [({}, "response"), ({"METHOD": "response"}, "response"), ({"METHOD": "put"}, "put")],
)
def test_the_method_of_an_answer_is_what_its_headers_say(
    headers: dict[str, str], method: str
) -> None:
    class Answers(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.set_status(200)
            self.headers = headers
            return self.render()

    assert ask(Answers, request()).method == method


def test_an_unknown_path_is_answered_404() -> None:
    answer = ask(Everything, request(path="/nowhere"))

    assert (answer.status_code, answer.path, answer.id) == (404, "/nowhere", 7)


class Raises(ServiceMessageHandler):
    error_to_raise: BaseException = ValueError("a secret of the service")

    def request(self) -> ServiceResponse:
        self.add_to_payload("half", "done")
        raise self.error_to_raise


def test_a_handler_that_raises_is_answered_500_with_the_id_its_log_has() -> None:
    answer = ask(Raises, request())

    assert answer.status_code == 500
    assert answer.body == {"error_id": "r-1"}
    assert "secret" not in repr(answer)


def test_an_error_with_a_status_is_answered_with_it() -> None:
    class RaisesBadRequest(Raises):
        error_to_raise = BadRequest("what?")

    assert ask(RaisesBadRequest, request()).status_code == 400


@pytest.mark.parametrize("value", [None, "", b"bytes", {}, 200])
def test_a_handler_that_does_not_return_what_it_rendered_is_answered_500(value: object) -> None:
    class Returns(ServiceMessageHandler):
        def request(self) -> object:
            return value

    assert ask(Returns, request()).status_code == 500


@pytest.mark.parametrize("status", [0, 99, 600, -1, "200", None])
def test_no_status_but_a_number_from_100_to_599_can_be_set(status: Any) -> None:
    class Sets(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.set_status(status)
            return self.render()

    assert ask(Sets, request()).status_code == 500


def test_answers_share_neither_headers_nor_payload() -> None:
    class Marks(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.headers["X-Mark"] = "only here"
            self.add_to_payload("mark", "only here")
            self.set_status(200)
            return self.render()

    class Plain(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.set_status(200)
            return self.render()

    ask(Marks, request())
    answer = ask(Plain, request())

    assert (answer.headers, answer.body) == ({}, {})


def test_url_arguments_reach_the_method() -> None:
    class Named(ServiceMessageHandler):
        def request(self, name: str) -> ServiceResponse:
            self.add_to_payload("name", name)
            self.set_status(200)
            return self.render()

    application = brubeck((r"^/by/(?P<name>\w+)$", Named))

    answer = application.handle(request(path="/by/dave"), ServiceMessageHandler)

    assert answer.body == {"name": "dave"}


def test_a_cpu_bound_method_runs_in_another_thread() -> None:
    class Computes(ServiceMessageHandler):
        cpu_bound = True

        def request(self) -> ServiceResponse:
            self.add_to_payload("thread", threading.get_native_id())
            self.set_status(200)
            return self.render()

    answer = ask(Computes, request())

    assert answer.status_code == 200
    assert answer.body["thread"] != threading.get_native_id()


def test_a_cpu_bound_method_leaves_the_event_loop_free_though_another_thread_had_one_first() -> (
    None
):
    class Computes(ServiceMessageHandler):
        cpu_bound = True

        def request(self) -> ServiceResponse:
            self.add_to_payload("thread", threading.get_native_id())
            return self.render(200)

    _threads_of.cache_clear()
    gevent.get_hub().threadpool.apply(ask, (Computes, request()))

    assert ask(Computes, request()).body["thread"] != threading.get_native_id()


def test_a_cpu_bound_method_that_raises_is_answered_500_and_leaves_no_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Computes(ServiceMessageHandler):
        cpu_bound = True

        def request(self) -> None:
            made.append(weakref.ref(self))
            raise LookupError("a mistake")

    made: list[Callable[[], object]] = []
    monkeypatch.setattr("brubeck.application.logger.disabled", True)  # pytest keeps what is logged
    gc.disable()
    try:
        assert ask(Computes, request()).status_code == 500
        gevent.sleep(0)  # what a thread returned is kept until the event loop goes on
        assert made[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_cpu_bound_method_that_would_end_the_program_is_answered_like_any_mistake(
    error: BaseException,
) -> None:
    class Computes(Raises):
        cpu_bound = True
        error_to_raise = error

    asking = gevent.spawn(ask, Computes, request())
    try:
        answer = asking.get(timeout=10)
    except (SystemExit, KeyboardInterrupt):
        pytest.fail("it reached the main greenlet")

    assert (answer.status_code, answer.body) == (500, {"error_id": "r-1"})


class WaitsInAThread(ServiceMessageHandler):
    """Says that it has begun, and holds its thread until `gate` is open."""

    cpu_bound = True
    begun: ClassVar[list[str]] = []
    gate: ClassVar[Any] = monkey.get_original("_thread", "allocate_lock")()  # closed is locked

    def request(self) -> ServiceResponse:
        self.begun.append(self.message.path)
        if self.gate.acquire(timeout=10):
            self.gate.release()
        return self.render(200)


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """All threads of `cpu_bound` methods compute, until `gate` is open."""
    WaitsInAThread.begun.clear()
    WaitsInAThread.gate.acquire()
    asking = [gevent.spawn(ask, WaitsInAThread, request()) for _ in range(THREADS)]
    with gevent.Timeout(10):
        while len(WaitsInAThread.begun) < THREADS:
            gevent.sleep(0.01)
    yield
    if WaitsInAThread.gate.locked():
        WaitsInAThread.gate.release()
    gevent.joinall(asking, timeout=10)


@pytest.mark.usefixtures("busy_threads")
def test_a_cpu_bound_method_that_nobody_waits_for_when_it_has_its_turn_does_not_begin() -> None:
    waiting = [gevent.spawn(ask, WaitsInAThread, request()) for _ in range(5)]
    gevent.sleep(0.05)
    gevent.killall(waiting)

    WaitsInAThread.gate.release()
    ask(WaitsInAThread, request())  # behind them

    assert len(WaitsInAThread.begun) == THREADS + 1


@pytest.mark.usefixtures("busy_threads")
def test_names_can_be_looked_up_while_all_threads_compute() -> None:
    with gevent.Timeout(5):
        assert gevent.get_hub().threadpool.apply(len, ("looked up here",)) == 14


def test_a_response_handler_knows_the_status_and_returns_what_it_likes() -> None:
    class Told(ServiceMessageHandler):
        def response(self) -> object:
            return self.status_code, self.status_msg

    result = tell(brubeck((r"^/p$", Told)), response(404, "Not there"))

    assert result == (404, "Not there")


def test_what_a_response_handler_renders_is_about_the_response() -> None:
    class Told(ServiceMessageHandler):
        def response(self) -> ServiceResponse:
            return self.render()

    result = tell(brubeck((r"^/p$", Told)), response(201, "Made"))

    assert result == ServiceResponse(7, 201, "Made", "/p", request_id="r-1")


def test_the_method_of_a_response_chooses_the_method_that_is_told() -> None:
    application = brubeck((r"^/p$", Everything))

    assert tell(application, response(method="put")).body == {"ran": "put"}
    assert tell(application, response(method="_private")).status_code == 405


def test_without_a_route_a_response_is_nobodys() -> None:
    assert tell(brubeck((r"^/other$", Everything)), response()) is None


def test_a_response_never_reaches_a_handler_of_browsers() -> None:
    class Page(MessageHandler):
        def response(self) -> object:
            raise AssertionError("a service reached a web handler")

        get = response

    application = brubeck((r"^/p$", Page))

    assert tell(application, response()) is None
    assert tell(application, response(method="get")) is None


def test_a_response_handler_that_raises_leaves_an_error_as_its_result() -> None:
    class Fails(ServiceMessageHandler):
        def response(self) -> object:
            raise KeyError("a mistake")

    result = tell(brubeck((r"^/p$", Fails)), response())

    assert result.status_code == 500


class SaysWhatIsLeft(ServiceMessageHandler):
    """Says how long its caller still waits."""

    def request(self) -> ServiceResponse:
        self.add_to_payload("seconds", self.seconds_left)
        return self.render(200)

    def response(self) -> float:
        return self.seconds_left


@pytest.mark.parametrize(("budget", "least", "most"), [(60_000, 30, 60), (0, 0, 0)])
def test_a_handler_sees_the_time_its_caller_still_waits(
    budget: int, least: float, most: float
) -> None:
    answer = ask(SaysWhatIsLeft, ServiceRequest(1, budget, "/p"))

    assert least <= answer.body["seconds"] <= most


def test_for_a_response_no_time_is_left() -> None:
    application = brubeck((r"^/p$", SaysWhatIsLeft))

    assert tell(application, ServiceResponse(1, 200, "OK", "/p")) == 0


class Halfway(ServiceMessageHandler):
    """Says that half is done."""

    def request(self) -> ServiceResponse:
        self.progress(0.5, "half")
        return self.render(200)


class HalfwayInAThread(Halfway):
    """The same in another thread."""

    cpu_bound = True


@pytest.mark.parametrize("handler", [Halfway, HalfwayInAThread])
def test_progress_is_told_to_who_wants_to_know(handler: type) -> None:
    told: list[tuple[float, str]] = []
    outer = reporter.set(lambda *progress: told.append(progress))
    ask(handler, request())
    reporter.reset(outer)

    assert told == [(0.5, "half")]


@pytest.mark.parametrize("fraction", [True, 1, Fraction(1), Decimal(1)], ids=repr)
def test_progress_is_told_as_a_number_of_the_protocol(fraction: Any) -> None:
    class Done(ServiceMessageHandler):
        def request(self) -> ServiceResponse:
            self.progress(fraction)
            return self.render(200)

    told: list[float] = []
    outer = reporter.set(lambda fraction, _: told.append(fraction))
    ask(Done, request())
    reporter.reset(outer)

    assert told == [1.0]
    assert type(told[0]) is float


def test_progress_that_nobody_wants_to_know_is_told_to_nobody() -> None:
    assert ask(Halfway, request()).status_code == 200


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_is_a_fraction(fraction: float) -> None:
    class Wrong(ServiceMessageHandler):
        def request(self) -> None:
            self.progress(fraction)

    assert ask(Wrong, request()).status_code == 500

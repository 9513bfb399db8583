"""A message and its answer: whatever a handler does, there is one."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from brubeck.application import Brubeck
from brubeck.errors import BadRequest, StatusError
from brubeck.handlers import MessageHandler
from brubeck.response import Response
from brubeck.routing import Target
from brubeck.web_handlers import JSONMessageHandler, WebMessageHandler, render
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from tests.needs import ROOT
from tests.unit.brubeck.fakes import SilentConnection, ask, brubeck, request


class Page(WebMessageHandler):
    def get(self, name: str = "nobody") -> Any:
        self.set_body(f"Hello {name}")
        return self.render()


def raises(error: BaseException) -> Callable[..., Any]:
    """A method that raises."""

    def method(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    return method


def page(**attributes: Any) -> type[WebMessageHandler]:
    """A page with methods of its own."""
    return type("PageOfATest", (Page,), attributes)


FailingPage = page(get=raises(RuntimeError("a mistake")))
FailingErrorPage = page(render_error=raises(RuntimeError("another mistake")))


# Routes


@pytest.mark.parametrize(
    ("pattern", "path", "body"),
    [
        (r"^/$", "/", b"Hello nobody"),
        (r"^/(\w+)$", "/World", b"Hello World"),
        (r"^/(?P<name>\w+)$", "/World", b"Hello World"),
        (r"^/hello(?:/(\w+))?$", "/hello", b"Hello nobody"),
    ],
)
def test_a_handler_is_called_with_the_arguments_of_the_url(
    pattern: str, path: str, body: bytes
) -> None:
    response = ask(brubeck((pattern, Page)), path)
    assert (response.status_code, response.body) == (200, body)


def test_a_function_is_called_with_application_message_and_the_arguments_of_the_url() -> None:
    # Given
    seen = []

    def answer(application: Brubeck, message: Any, *args: str, **kwargs: str) -> Response:
        seen.append((application, message.path, args, kwargs))
        return render("Hello", 200, "OK", {})

    application = brubeck((r"^/a/(\w+)$", answer), (r"^/b/(?P<name>\w+)$", answer))
    # When
    assert ask(application, "/a/x").body == ask(application, "/b/y").body == b"Hello"
    # Then
    assert seen == [
        (application, "/a/x", ("x",), {}),
        (application, "/b/y", (), {"name": "y"}),
    ]


def test_a_function_may_answer_some_methods_only() -> None:
    # Given
    application = brubeck()

    @application.add_route(r"^/$", method="get")
    def answer(*_: Any) -> Response:
        return render("Hello", 200, "OK", {})

    # Then
    assert ask(application, "/", "GET").status_code == 200
    assert ask(application, "/", "HEAD").status_code == 200
    refusal = ask(application, "/", "PUT")
    assert (refusal.status_code, refusal.headers["Allow"]) == (405, "GET, HEAD")
    assert callable(answer)


def test_a_class_says_itself_which_methods_it_answers() -> None:
    with pytest.raises(ValueError, match="a class has its own methods"):
        brubeck().add_route(r"^/$", method="GET")(Page)


def test_an_unknown_path_is_404_with_a_page() -> None:
    response = ask(brubeck((r"^/$", Page)), "/nowhere")
    assert response.status_code == 404
    assert b"404 Not Found" in response.body


def test_an_unknown_path_has_the_page_of_the_base_handler() -> None:
    response = ask(brubeck(base_handler=JSONMessageHandler), "/nowhere")
    assert response.headers["Content-Type"] == "application/json"


def test_an_unknown_path_has_the_page_of_no_handler_where_there_is_one() -> None:
    response = ask(brubeck(no_handler=JSONMessageHandler), "/nowhere")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "BREW", "JSON", "CONNECT", "TRACE", "RENDER"])
def test_a_method_the_handler_lacks_is_405_with_those_it_has(method: str) -> None:
    response = ask(brubeck((r"^/$", Page)), "/", method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


# HTTP and services


class Everything(ServiceMessageHandler):
    """A service handler with every method, which remembers whether it was made."""

    made = 0

    def initialize(self) -> None:
        type(self).made += 1

    def request(self) -> Any:
        self.set_status(200)
        return self.render()

    get = put = post = delete = options = connect = response = request


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "REQUEST"])
def test_a_browser_never_reaches_a_service_handler(method: str) -> None:
    Everything.made = 0
    assert ask(brubeck((r"^/service", Everything)), "/service", method).status_code == 404
    assert Everything.made == 0


SERVICE_MESSAGES = [
    ServiceRequest(1, 1000, "/page", "get"),
    ServiceResponse(1, 200, "OK", "/page", "get"),
]


@pytest.mark.parametrize("message", SERVICE_MESSAGES, ids=["request", "response"])
def test_a_message_of_a_service_never_reaches_a_web_handler(message: Any) -> None:
    made: list[str] = []
    application = brubeck((r"^/page", page(initialize=lambda _: made.append("a page"))))
    assert application.handle(message) is None
    assert made == []


@pytest.mark.parametrize("message", SERVICE_MESSAGES, ids=["request", "response"])
def test_a_message_of_a_service_reaches_the_service_handler_at_the_same_path(message: Any) -> None:
    application = brubeck((r"^/page", Page), (r"^/page", Everything))
    assert application.handle(message).status_code == 200
    assert ask(application, "/page").body == b"Hello nobody"


def test_a_service_request_without_a_route_is_answered_with_404() -> None:
    message = ServiceRequest(1, 1000, "/nowhere")
    answer = brubeck().handle(message, ServiceMessageHandler)
    assert (type(answer), answer.status_code, answer.id) == (ServiceResponse, 404, 1)


# Errors


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("details of a mistake"),
        ValueError("\0"),
        gevent.Timeout(1),
        gevent.GreenletExit("details of a mistake"),
        GeneratorExit(),
        BaseException("details of a mistake"),
    ],
    ids=repr,
)
def test_a_handler_that_raises_is_a_500_page_that_tells_no_details(failure: BaseException) -> None:
    response = ask(brubeck((r"^/$", page(get=raises(failure)))))
    assert response.status_code == 500
    assert b"500 Internal Server Error" in response.body
    assert b"a-request" in response.body
    assert b"details" not in response.body


@pytest.mark.parametrize("rendered", [None, "", "Hello", b"Hello", 200, {}, (200, "OK")], ids=repr)
def test_a_handler_that_returns_no_rendered_output_is_a_500_page(rendered: Any) -> None:
    response = ask(brubeck((r"^/$", page(get=lambda _: rendered))))
    assert response.status_code == 500
    assert b"500 Internal Server Error" in response.body


def test_a_function_that_returns_nothing_or_raises_is_a_500_page() -> None:
    application = brubeck((r"^/nothing$", lambda *_: None), (r"^/raises$", raises(ValueError())))
    for path in ("/nothing", "/raises"):
        response = ask(application, path)
        assert response.status_code == 500
        assert b"500 Internal Server Error" in response.body


@pytest.mark.parametrize("step", ["__init__", "initialize", "prepare", "get", "on_finish"])
def test_a_mistake_in_any_step_of_a_handler_is_a_500_page(step: str) -> None:
    response = ask(brubeck((r"^/$", page(**{step: raises(RuntimeError())}))))
    assert response.status_code == 500
    assert b"500 Internal Server Error" in response.body


def test_an_error_with_a_status_is_answered_with_it() -> None:
    application = brubeck((r"^/$", page(get=raises(BadRequest("what?")))))
    assert ask(application).status_code == 400


def test_too_many_arguments_are_a_400_page() -> None:
    class Echo(Page):
        def get(self, name: str = "") -> Any:
            return super().get(self.get_argument("name", name) or "")

    response = ask(brubeck((r"^/$", Echo)), QUERY="&".join(["name=x"] * 10_000))
    assert response.status_code == 400


def test_a_function_that_fails_has_the_error_page_of_the_base_handler() -> None:
    application = brubeck((r"^/$", raises(ValueError())), base_handler=JSONMessageHandler)
    response = ask(application)
    assert (response.status_code, response.headers["Content-Type"]) == (500, "application/json")


def test_what_an_error_answers_can_be_overridden() -> None:
    class Own(Page):
        def get(self, name: str = "nobody") -> Any:
            raise LookupError(name)

        def error(self, err: BaseException) -> Any:
            self.set_body(f"sorry: {type(err).__name__}", status_code=503)
            return self.render()

    response = ask(brubeck((r"^/$", Own)))
    assert (response.status_code, response.body) == (503, b"sorry: LookupError")


@pytest.mark.parametrize(
    ("failure", "status", "body"),
    [
        (RuntimeError(), 500, b"500 Internal Server Error\n"),
        (BadRequest("what?"), 400, b"400 Bad Request\n"),
    ],
)
def test_where_the_error_page_fails_too_the_answer_is_plain(
    failure: BaseException, status: int, body: bytes
) -> None:
    kind = page(get=raises(failure), render_error=raises(RuntimeError("another mistake")))
    response = ask(brubeck((r"^/$", kind)))
    assert (response.status_code, response.body) == (status, body)


def test_where_the_error_page_is_no_rendered_output_the_answer_is_plain() -> None:
    application = brubeck((r"^/$", page(get=raises(ValueError()), error=lambda *_: "a page?")))
    assert ask(application).body == b"500 Internal Server Error\n"


def test_where_the_page_for_unknown_paths_fails_the_answer_is_plain() -> None:
    response = ask(brubeck(base_handler=FailingErrorPage), "/nowhere")
    assert (response.status_code, response.body) == (500, b"500 Internal Server Error\n")


def test_a_request_that_is_refused_has_the_error_page_of_the_base_handler() -> None:
    response = brubeck().refuse(request(), 504, WebMessageHandler)
    assert response.status_code == 504
    assert b"504 Gateway Timeout" in response.body


def test_a_request_that_is_refused_is_answered_also_where_the_error_page_fails() -> None:
    response = brubeck().refuse(request(), 504, FailingErrorPage)
    assert (response.status_code, response.body) == (504, b"504 Gateway Timeout\n")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("step", ["prepare", "get", "render"])
def test_on_finish_always_runs(step: str, method: str) -> None:
    finished = []
    kind = page(**{step: raises(RuntimeError()), "on_finish": lambda _: finished.append("yes")})
    ask(brubeck((r"^/$", kind)), method=method)
    assert finished == ["yes"]


@pytest.mark.parametrize("failure", [SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_handler_that_would_end_the_program_is_answered_like_any_mistake(
    failure: BaseException,
) -> None:
    assert ask(brubeck((r"^/$", page(get=raises(failure))))).status_code == 500


def test_a_mistake_is_logged_with_its_traceback_and_the_requests_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask(brubeck((r"^/$", FailingPage)))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "GET /: the handler failed")
    assert record.exc_info
    assert vars(record)["request_id"] == "a-request"


def test_an_error_with_a_status_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class NobodyThere(StatusError):
        status_code = 503

    ask(brubeck((r"^/$", page(get=raises(NobodyThere("at home"))))))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "GET /: NobodyThere: at home")
    assert not record.exc_info


# Settings


class Stubborn(WebMessageHandler):
    """Streams, and goes on where it should end."""

    def get(self) -> Any:
        self.set_body(self.pieces())
        return self.render()

    def pieces(self) -> Iterator[str]:
        try:
            yield "a piece"
        except GeneratorExit:
            yield "sorry"


def test_a_stream_that_does_not_end_when_it_is_closed_is_an_error_of_its_own() -> None:
    application = brubeck((r"^/$", Stubborn))
    asked = request()

    def send(_: bytes) -> None:
        raise ConnectionError

    ended = application.stream(asked, application.handle(asked), send)

    assert ended.status_code == 500
    assert not ended.streamed


def test_an_application_needs_a_connection() -> None:
    with pytest.raises(ValueError, match="msg_conn"):
        Brubeck()


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="log_levle"):
        brubeck(log_levle=logging.DEBUG)


@pytest.mark.parametrize(("pattern", "target"), [("(", Page), (r"^/page", "Page")])
def test_a_route_that_cannot_work_is_refused_by_its_pattern(pattern: str, target: Target) -> None:
    with pytest.raises(ValueError, match=r"route '.*(\(|page)'"):
        brubeck((pattern, target))


def test_applications_share_no_resources() -> None:
    assert brubeck()._resources is not brubeck()._resources


def test_no_secret_is_in_the_repr_of_an_application_or_its_handlers() -> None:
    application = brubeck((r"^/$", Page), cookie_secret="open sesame", db_conn="open sesame")
    assert "sesame" not in f"{application!r} {application} {MessageHandler(application, request())}"


def test_the_route_of_a_message_can_be_asked_for() -> None:
    application = Brubeck(SilentConnection(), [(r"^/$", Page)])
    route = application.route_message(request("/"))
    assert route is not None
    assert route.target is Page
    assert application.route_message(request("/nowhere")) is None


# A life


PROGRAM = """
import gevent.event
from brubeck.request_handling import Brubeck

class Connection:
    def __init__(self):
        self.ended = gevent.event.Event()
    def recv_forever_ever(self, application):
        print("serving", flush=True)
        self.ended.wait(60)
        print("drained", flush=True)
    def stop(self):
        print("asked to stop", flush=True)
        if {polite}:
            self.ended.set()
    def health(self):
        return "ok"

class Resource:
    def close(self):
        print("resource closed", flush=True)

application = Brubeck(Connection(), log_level="ERROR")
application._resources["a resource"] = Resource()
application.run()
"""


def lines_of(program: "subprocess.Popen[str]", *, until: str) -> list[str]:
    """The lines a program prints, up to one."""
    assert program.stdout is not None
    lines = []
    with gevent.Timeout(30):
        for line in program.stdout:
            lines.append(line.strip())
            if lines[-1] == until:
                break
    return lines


@pytest.fixture
def start() -> Any:
    programs: list[subprocess.Popen[str]] = []

    def run(*, polite: bool) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PROGRAM.format(polite=polite)]
        programs.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()
        program.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_application_when_its_work_is_done(
    start: Any, number: signal.Signals
) -> None:
    # Given
    program = start(polite=True)
    lines_of(program, until="serving")
    # When
    program.send_signal(number)
    # Then
    assert lines_of(program, until="resource closed") == [
        "asked to stop",
        "drained",
        "resource closed",
    ]
    assert program.wait(30) == 0


def test_a_second_signal_ends_the_application_at_once(start: Any) -> None:
    # Given an application whose work does not end
    program = start(polite=False)
    lines_of(program, until="serving")
    program.send_signal(signal.SIGTERM)
    lines_of(program, until="asked to stop")
    # When
    program.send_signal(signal.SIGTERM)
    # Then
    assert program.wait(30) == 1

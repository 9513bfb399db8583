"""What every handler can do, whatever transport its messages come by."""

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from brubeck.handlers import MessageHandler
from brubeck.response import Response
from tests.unit.brubeck.fakes import brubeck, request


class Handler(MessageHandler):
    """Knows GET and PUT, and records its life."""

    def initialize(self) -> None:
        self.life = ["initialize"]

    def prepare(self) -> None:
        self.life.append("prepare")

    def on_finish(self) -> None:
        self.life.append("on_finish")

    def get(self, *args: str, **kwargs: str) -> Any:
        self.life.append(f"get {args} {kwargs}")
        return self.render(200)

    def put(self) -> Any:
        raise RuntimeError("a mistake")

    def secret_method(self) -> Any:
        self.life.append("secret")
        return self.render(200)

    BREW = secret_method


def handler(method: str = "GET", kind: type[Handler] = Handler) -> Handler:
    return kind(brubeck(), request(method=method))


def payload(response: Response) -> Any:
    return json.loads(response.body)


def test_a_handler_is_initialized_prepared_asked_and_finished_in_this_order() -> None:
    asked = handler()
    asked("1", page="2")
    assert asked.life == ["initialize", "prepare", "get ('1',) {'page': '2'}", "on_finish"]


def test_on_finish_runs_also_after_a_method_that_raised() -> None:
    asked = handler("PUT")
    with pytest.raises(RuntimeError):
        asked()
    assert asked.life[-1] == "on_finish"


def test_on_finish_runs_also_after_a_preparation_that_raised() -> None:
    class Unprepared(Handler):
        def prepare(self) -> None:
            raise RuntimeError("a mistake")

    asked = handler(kind=Unprepared)
    with pytest.raises(RuntimeError):
        asked()
    assert asked.life == ["initialize", "on_finish"]


def test_on_finish_runs_also_after_a_method_that_is_not_supported() -> None:
    asked = handler("DELETE")
    asked()
    assert asked.life == ["initialize", "prepare", "on_finish"]


def test_a_handler_knows_its_application_its_message_and_the_time() -> None:
    application, message = brubeck(db_conn="a database"), request()
    made = Handler(application, message)
    assert (made.application, made.message, made.db_conn) == (application, message, "a database")
    assert 0 <= made.current_time - made.timestamp < 60_000


def test_a_method_that_is_missing_is_405_with_those_that_are_not() -> None:
    response = handler("DELETE")()
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, PUT"


def test_head_is_answered_like_get_where_it_has_no_method_of_its_own() -> None:
    asked = handler("HEAD")
    assert asked().status_code == 200
    assert "get () {}" in asked.life


def test_head_has_a_method_of_its_own_where_there_is_one() -> None:
    class Headed(Handler):
        def head(self) -> Any:
            return self.render(204)

    assert handler("HEAD", Headed)().status_code == 204


def test_head_is_405_where_there_is_no_get() -> None:
    class OnlyPut(MessageHandler):
        def put(self) -> Any:
            return self.render(200)

    response = OnlyPut(brubeck(), request(method="HEAD"))()
    assert (response.status_code, response.headers["Allow"]) == (405, "PUT")


ATTRIBUTES = sorted(set(dir(Handler)) - Handler.METHODS)


@pytest.mark.parametrize("spelled", [str, str.upper], ids=["as it is", "in upper case"])
@pytest.mark.parametrize("name", ["", " ", "GET ", "GET\n", "G\u0130ET", *ATTRIBUTES])
def test_a_method_in_free_text_never_reaches_an_attribute(
    name: str, spelled: Callable[[str], str]
) -> None:
    asked = handler(spelled(name))
    assert asked().status_code == 405
    assert asked.life == ["initialize", "prepare", "on_finish"]


def test_the_payload_is_json_with_the_status_and_the_time() -> None:
    # Given
    asked = handler()
    asked.add_to_payload("text", "grün")
    asked.add_to_payload("numbers", [1, 2.5, None])
    # When
    response = asked.render(201)
    # Then
    assert (response.status_code, response.status_msg) == (201, "Created")
    assert response.headers == {"Content-Type": "application/json"}
    assert payload(response) == {
        "text": "grün",
        "numbers": [1, 2.5, None],
        "status_code": 201,
        "status_msg": "Created",
        "timestamp": asked.timestamp,
    }


def test_a_payload_without_a_json_form_is_a_type_error() -> None:
    asked = handler()
    asked.add_to_payload("object", object())
    with pytest.raises(TypeError):
        asked.render(200)


def test_a_cleared_payload_is_empty() -> None:
    asked = handler()
    asked.add_to_payload("text", "gone")
    asked.clear_payload()
    assert "text" not in payload(asked.render(200))


def test_handlers_share_neither_headers_nor_payload() -> None:
    first, second = handler(), handler()
    first.headers["X-Mine"] = "1"
    first.add_to_payload("mine", 1)
    assert second.headers == {}
    assert "mine" not in payload(second.render(200))


def test_without_a_status_the_answer_is_500_so_that_forgetting_it_shows() -> None:
    assert handler().render().status_code == 500


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((200,), (200, "OK")),
        ((404, "No such echo"), (404, "No such echo")),
        ((200, None, "took a while"), (200, "OK - took a while")),
        ((418, "Teapot", "short"), (418, "Teapot - short")),
        ((599,), (599, "")),
        ((100,), (100, "Continue")),
    ],
)
def test_a_status_has_its_usual_text_or_ones_own(
    arguments: tuple[Any, ...], status: tuple[int, str]
) -> None:
    asked = handler()
    asked.set_status(*arguments)
    assert (asked.status_code, asked.status_msg) == status


def test_status_texts_can_be_ones_own() -> None:
    class Polite(Handler):
        _response_codes: ClassVar = {404: "Sorry"}

    asked = handler(kind=Polite)
    asked.set_status(404)
    assert asked.status_msg == "Sorry"


@pytest.mark.parametrize("code", [99, 600, 0, -1, "200", None, 200.5])
def test_what_is_no_status_is_refused_by_name(code: Any) -> None:
    with pytest.raises(ValueError, match=repr(code)):
        handler().set_status(code)


def test_an_error_answer_holds_nothing_that_was_added_before() -> None:
    # Given
    asked = handler()
    asked.add_to_payload("half", "done")
    # When
    response = asked.render_error(503, lambda: asked.add_to_payload("reason", "full"))
    # Then
    assert response.status_code == 503
    assert payload(response) == {
        "reason": "full",
        "status_code": 503,
        "status_msg": "Service Unavailable",
        "timestamp": asked.timestamp,
    }

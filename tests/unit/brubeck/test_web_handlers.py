"""Handlers that answer browsers."""

import datetime
import json
from typing import Any, ClassVar

import pytest

from brubeck.response import Response
from brubeck.web_handlers import JSONMessageHandler, WebMessageHandler, render
from tests.unit.brubeck.fakes import brubeck, request

SECRET = "a secret nobody else knows"


def web(**metadata: Any) -> WebMessageHandler:
    return WebMessageHandler(brubeck(), request(**metadata))


def set_cookies(handler: WebMessageHandler) -> Any:
    return handler.render(200).headers["Set-Cookie"]


def with_cookies(cookie: str) -> WebMessageHandler:
    return web(headers={"cookie": cookie})


def signed(name: str, value: Any, secret: str = SECRET) -> str:
    """The value of a signed cookie, as a browser keeps it."""
    handler = web()
    handler.set_cookie(name, value, secret)
    (cookie,) = set_cookies(handler)
    return str(cookie).split(";", maxsplit=1)[0].split("=", maxsplit=1)[1]


def test_the_body_is_a_page_that_no_browser_takes_for_something_else() -> None:
    # Given
    handler = web()
    handler.set_body("<h1>grün</h1>", {"X-Mine": "1"}, 201)
    # Then
    assert handler.render() == Response(
        201,
        "Created",
        {
            "Content-Type": "text/html; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
            "X-Mine": "1",
        },
        "<h1>grün</h1>".encode(),
    )


def test_a_body_is_200_unless_said_otherwise() -> None:
    handler = web()
    handler.set_body(b"\xff")
    response = handler.render()
    assert (response.status_code, response.body) == (200, b"\xff")


def test_the_content_type_can_be_ones_own() -> None:
    handler = web()
    handler.set_body("ok", {"content-type": "text/plain"})
    assert handler.render().headers == {
        "content-type": "text/plain",
        "X-Content-Type-Options": "nosniff",
    }


def test_http_200_answers_200_whatever_the_status_is() -> None:
    handler = web()
    response = handler.render(503, http_200=True)
    assert (response.status_code, response.status_msg) == (200, "OK")
    assert handler.status_code == 503


def test_arguments_are_those_of_the_request() -> None:
    handler = web(QUERY="a=1&a=+2")
    assert handler.get_argument("a") == "2"
    assert handler.get_argument("a", strip=False) == " 2"
    assert handler.get_argument("b", "default") == "default"
    assert handler.get_arguments("a") == ["1", "2"]


def test_options_tells_the_methods() -> None:
    class Page(WebMessageHandler):
        def get(self) -> Any:
            return self.render(200)

    response = Page(brubeck(), request(method="OPTIONS"))()
    assert (response.status_code, response.headers["Allow"]) == (200, "GET, HEAD, OPTIONS")


def test_redirect_sends_the_browser_elsewhere() -> None:
    response = web().redirect("/elsewhere")
    assert (response.status_code, response.headers["Location"]) == (302, "/elsewhere")


def test_an_error_page_says_what_went_wrong_and_how_the_log_names_it() -> None:
    page = web().render_error(503).body.decode()
    assert "503 Service Unavailable" in page
    assert "a-request" in page


def test_nothing_in_an_error_page_is_markup_of_a_peer() -> None:
    class Echoing(WebMessageHandler):
        _response_codes: ClassVar = {400: "<script>alert(1)</script>"}

    page = Echoing(brubeck(), request()).render_error(400).body
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page


def test_an_error_page_holds_nothing_of_the_page_before_it_and_is_not_of_its_type() -> None:
    handler = web()
    of_the_page = {"content-type": "text/csv", "Content-Encoding": "gzip", "ETag": '"1"'}
    handler.set_body("half a page", {**of_the_page, "X-Mine": "1"})
    response = handler.render_error(500)
    assert b"half" not in response.body
    assert response.headers == {
        "Content-Type": "text/html; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "X-Mine": "1",
    }


@pytest.mark.parametrize("said", ["public, max-age=60", "private, no-cache", "no-store", 60])
def test_an_error_page_is_stored_nowhere_if_the_page_before_it_said_where(said: Any) -> None:
    handler = web()
    handler.set_body("a page", {"cache-control": said})
    assert handler.render_error(500).headers["Cache-Control"] == "no-store"


def test_no_traceback_is_shown_unless_debug_is_on() -> None:
    # Given
    error = RuntimeError("details")
    in_production = WebMessageHandler(brubeck(), request())
    in_development = WebMessageHandler(brubeck(debug=True), request())
    # Then
    assert b"details" not in in_production.error(error).body
    assert b"RuntimeError: details" in in_development.error(error).body
    assert in_development.error(error).headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("_DEFAULT_STATUS", 500),
        ("_SUCCESS_CODE", 200),
        ("_UPDATED_CODE", 200),
        ("_CREATED_CODE", 201),
        ("_MULTI_CODE", 207),
        ("_FAILED_CODE", 400),
        ("_AUTH_FAILURE", 401),
        ("_FORBIDDEN", 403),
        ("_NOT_FOUND", 404),
        ("_NOT_ALLOWED", 405),
        ("_SERVER_ERROR", 500),
    ],
)
def test_brubecks_names_for_statuses_are_kept(name: str, code: int) -> None:
    assert getattr(WebMessageHandler, name) == code


def test_a_json_handler_answers_with_its_payload() -> None:
    # Given
    handler = JSONMessageHandler(brubeck(), request())
    handler.add_to_payload("data", {"name": "World"})
    # When
    response = handler.render(200)
    # Then
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.body) == {
        "data": {"name": "World"},
        "status_code": 200,
        "status_msg": "OK",
        "timestamp": handler.timestamp,
    }


def test_a_json_handler_can_hide_the_status() -> None:
    handler = JSONMessageHandler(brubeck(), request())
    handler.add_to_payload("data", [1, 2])
    assert json.loads(handler.render(200, hide_status=True).body) == [1, 2]


def test_a_json_handler_shows_the_status_where_there_is_no_data() -> None:
    handler = JSONMessageHandler(brubeck(), request())
    assert json.loads(handler.render(200, hide_status=True).body)["status_code"] == 200


def test_a_json_handlers_error_is_json() -> None:
    response = JSONMessageHandler(brubeck(), request()).render_error(404)
    assert json.loads(response.body)["status_msg"] == "Not Found"


def test_render_makes_the_answer_of_a_function() -> None:
    expected = Response(200, "OK", {"X-Mine": "1"}, b"gr\xc3\xbcn")
    assert render("grün", 200, "OK", {"X-Mine": "1"}) == expected
    assert render("grün".encode(), 200, "OK", {"X-Mine": "1"}) == expected


def test_a_cookie_of_the_browser_is_read() -> None:
    handler = with_cookies("name=World; other=1")
    assert handler.cookies == {"name": "World", "other": "1"}
    assert handler.get_cookie("name") == "World"
    assert handler.get_cookie("missing") is None
    assert handler.get_cookie("missing", "default") == "default"


def test_each_cookie_is_set_by_a_header_of_its_own() -> None:
    handler = web()
    handler.set_cookie("name", "World")
    handler.set_cookie("other", "1", max_age=60, secure=True, httponly=True, samesite="Lax")
    assert set_cookies(handler) == [
        "name=World; Path=/",
        "other=1; HttpOnly; Max-Age=60; Path=/; SameSite=Lax; Secure",
    ]


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie"])
@pytest.mark.parametrize("given", ["a=1; Partitioned", ["a=1; Partitioned"]], ids=["text", "list"])
def test_a_header_that_sets_a_cookie_is_kept_beside_the_others(name: str, given: Any) -> None:
    handler = web()
    handler.set_cookie("name", "World")
    handler.headers[name] = given
    assert set_cookies(handler) == ["a=1; Partitioned", "name=World; Path=/"]
    assert [header.lower() for header in handler.render(200).headers].count("set-cookie") == 1


def test_a_cookie_is_set_anew_and_forgotten_where_it_was_set_before() -> None:
    handler = web()
    handler.delete_cookie("name", path="/there")
    handler.delete_cookie("name", domain="here.example")
    handler.set_cookie("name", "nobody")
    handler.set_cookie("name", "World")
    assert set_cookies(handler) == [
        "name=; Max-Age=0; Path=/there",
        "name=; Domain=here.example; Max-Age=0; Path=/",
        "name=World; Path=/",
    ]


def test_without_cookies_no_header_sets_one() -> None:
    assert "Set-Cookie" not in web().render(200).headers


@pytest.mark.parametrize("expires", [0, datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)])
def test_a_cookie_expires_at_a_time_however_it_is_said(expires: Any) -> None:
    handler = web()
    handler.set_cookie("name", "World", expires=expires)
    assert set_cookies(handler) == ["name=World; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"]


def test_a_cookie_is_deleted_where_it_was_set() -> None:
    handler = web()
    handler.delete_cookie("name", path="/there")
    assert set_cookies(handler) == ["name=; Max-Age=0; Path=/there"]


def test_every_cookie_is_deleted_that_can_be() -> None:
    # Given a browser that sends cookies nobody could have set, too
    handler = with_cookies("name=World; not a name=1; path=/; other=1")
    # When
    handler.delete_cookies()
    # Then
    assert set_cookies(handler) == ["name=; Max-Age=0; Path=/", "other=; Max-Age=0; Path=/"]


@pytest.mark.parametrize("value", ["World", "", {"id": 7}, [1, None], "grün", "a;b\r\n"])
def test_a_signed_cookie_comes_back_as_it_was(value: Any) -> None:
    handler = with_cookies(f"user={signed('user', value)}")
    assert handler.get_cookie("user", secret=SECRET) == value


@pytest.mark.parametrize(
    "cookie",
    [
        "user=World",
        "user=",
        f"admin={signed('user', 'World')}",
        f"user={signed('user', 'World')[:-1]}",
        f"user=x{signed('user', 'World')}",
        f"user={signed('admin', 'World')}",
        f"user={signed('user', 'World', 'another secret of somebody')}",
        "user=\xff\xfe",
        f"user={'a' * 8000}",
        "user=gASVCgAAAAAAAACMBldvcmxklC4.aaaa.bbbb",
    ],
    ids=[
        "unsigned",
        "empty",
        "under another name",
        "cut off",
        "changed",
        "of another name",
        "of another secret",
        "beyond ASCII",
        "huge",
        "a pickle",
    ],
)
def test_a_cookie_whose_signature_does_not_hold_is_as_good_as_none(cookie: str) -> None:
    handler = with_cookies(cookie)
    for name in ("user", "admin"):
        assert handler.get_cookie(name, "nobody", secret=SECRET) == "nobody"


def test_a_signed_cookie_is_too_old_after_its_age() -> None:
    handler = with_cookies(f"user={signed('user', 'World')}")
    assert handler.get_cookie("user", secret=SECRET, max_age=60) == "World"
    assert handler.get_cookie("user", secret=SECRET, max_age=-1) is None


def test_a_cookie_that_is_no_text_needs_a_secret() -> None:
    with pytest.raises(TypeError, match="'user'"):
        web().set_cookie("user", {"id": 7})

"""The interface people know from Brubeck: the same names take the same arguments."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from brubeck.connections import Connection, Mongrel2Connection, WSGIConnection
from brubeck.request import Request
from brubeck.request_handling import (
    Brubeck,
    JSONMessageHandler,
    MessageHandler,
    WebMessageHandler,
    http_response,
    render,
)
from brubeck.templating import Jinja2Rendering, load_jinja2_env
from brubeckservice.testing import NoConnection, call_web


def parameters(function: Callable[..., Any]) -> str:
    """Names and defaults, without types."""
    kept = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    return ", ".join(map(str, kept))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            Brubeck,
            (
                "msg_conn=None, handler_tuples=None, pool=None, no_handler=None, "
                "base_handler=None, template_loader=None, log_level=20, login_url=None, "
                "db_conn=None, cookie_secret=None"
            ),
        ),
        (Brubeck.run, ""),
        (Brubeck.add_route, "url_pattern, method=None"),
        (Brubeck.render_template, "template_file, **context"),
        (Brubeck.route_message, "message"),
        (MessageHandler, "application, message"),
        (MessageHandler.set_status, "code, status_msg=None, extra_txt=None"),
        (MessageHandler.add_to_payload, "key, value"),
        (MessageHandler.render_error, "status_code, error_handler=None, **kwargs"),
        (MessageHandler.error, "err"),
        (WebMessageHandler.set_body, "body, headers=None, status_code=200"),
        (WebMessageHandler.get_argument, "name, default=None, strip=True"),
        (WebMessageHandler.get_arguments, "name, strip=True"),
        (WebMessageHandler.set_cookie, "key, value, secret=None, **attributes"),
        (WebMessageHandler.delete_cookie, "key, **attributes"),
        (WebMessageHandler.delete_cookies, ""),
        (WebMessageHandler.redirect, "url"),
        (Jinja2Rendering.render_template, "template_file, _status_code=200, **context"),
        (load_jinja2_env, "directory, *args, **kwargs"),
        (render, "body, status_code, status_msg, headers"),
        (Request.get_argument, "name, default=None, strip=True"),
        (Request.get_arguments, "name, strip=True"),
        (Mongrel2Connection, "pull_addr, pub_addr"),
        (Connection.recv_forever_ever, "application"),
        (Connection.send, "uuid, conn_id, msg"),
        (Connection.reply, "req, msg"),
        (Connection.reply_bulk, "uuid, idents, data"),
        (Connection.close, ""),
        (Connection.close_bulk, "uuid, idents"),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "",
)
def test_what_is_called_takes_the_known_arguments(
    function: Callable[..., Any], expected: str
) -> None:
    assert parameters(function) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (http_response, "body, code, status, headers"),
        (WSGIConnection, "port=6767"),
        (WebMessageHandler.get_cookie, "key, default=None, secret=None"),
        (WebMessageHandler.render, "status_code=None, http_200=False"),
        (JSONMessageHandler.render, "status_code=None, hide_status=False"),
        (Jinja2Rendering.render_error, "status_code"),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "",
)
def test_what_takes_more_takes_the_known_arguments_first(
    function: Callable[..., Any], expected: str
) -> None:
    assert parameters(function).startswith(expected)


@pytest.mark.parametrize(
    "name",
    [
        *("method", "path", "url", "url_parts", "headers", "body", "arguments", "files"),
        *("cookies", "content_type", "remote_addr", "version", "sender", "conn_id", "is_wsgi"),
    ],
)
def test_a_message_knows_its_request(name: str) -> None:
    assert hasattr(Request({}), name)


class Page(WebMessageHandler, Jinja2Rendering):
    """In the order of Brubeck's own documentation."""

    def get(self) -> Any:
        return self.render_template("page.html", name="World")

    def post(self) -> Any:
        return self.render_error(self._FAILED_CODE)


class OtherPage(Jinja2Rendering, WebMessageHandler):
    """In the order that gives errors a page from a template."""

    get, post = Page.get, Page.post


@pytest.mark.parametrize(
    ("page", "errors"), [(Page, b"<h1>400 Bad Request</h1>"), (OtherPage, b"sorry: 400")]
)
def test_the_mix_in_for_templates_can_be_named_first_or_last(
    page: type[WebMessageHandler], errors: bytes, tmp_path: Any
) -> None:
    (tmp_path / "page.html").write_text("Hello {{ name }}")
    (tmp_path / "errors.html").write_text("sorry: {{ error_code }}")
    site = Brubeck(NoConnection(), [("^/$", page)], template_loader=load_jinja2_env(str(tmp_path)))
    assert call_web(site, "GET", "/").body == b"Hello World"
    assert errors in call_web(site, "POST", "/").body


def test_only_mongrel2_can_be_sent_what_nobody_asked_for() -> None:
    connection = WSGIConnection()
    sends: list[Callable[[], None]] = [
        lambda: connection.send("uuid", "1", b""),
        lambda: connection.reply(Request({}), b""),
        lambda: connection.reply_bulk("uuid", ["1"], b""),
        lambda: connection.close_bulk("uuid", ["1"]),
    ]
    for send in sends:
        with pytest.raises(NotImplementedError, match="WSGIConnection"):
            send()

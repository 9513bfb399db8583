"""A mistake in a handler: its traceback in development, an id that leads to it in production."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

import json
import logging
from typing import Any

import pytest
from jinja2 import DictLoader

from brubeck.request_handling import Brubeck, JSONMessageHandler, WebMessageHandler
from brubeck.templating import Jinja2Rendering, load_jinja2_env
from brubeckservice.testing import NoConnection, call_web


class Table(WebMessageHandler):
    """Fails when it has said already that it is no page."""

    def get(self) -> Any:
        self.set_body("a,b", {"content-type": "text/csv", "X-Mine": "1"})
        raise LookupError("the secret of the mistake")


class Template(Jinja2Rendering, Table):
    """Has a page for errors."""


class Payload(JSONMessageHandler):
    """Fails with half of its payload."""

    def get(self) -> Any:
        self.add_to_payload("half", "done")
        raise LookupError("the secret of the mistake")


def function(*_: Any) -> Any:
    """Fails without any handler."""
    raise LookupError("the secret of the mistake")


PATHS = ["/table", "/template", "/payload", "/function"]


def site(*, debug: bool) -> Brubeck:
    """An application whose every handler has a mistake."""
    templates = DictLoader({"errors.html": "<p>{{ error_code }} {{ request_id }}</p>"})
    return Brubeck(
        NoConnection(),
        [
            ("/table", Table),
            ("/template", Template),
            ("/payload", Payload),
            ("/function", function),
        ],
        template_loader=load_jinja2_env("in memory", loader=templates),
        debug=debug,
    )


@pytest.mark.parametrize("path", PATHS)
def test_in_development_the_answer_is_the_traceback(path: str) -> None:
    response = call_web(site(debug=True), "GET", path)

    assert response.status_code == 500
    assert response.body.startswith(b"Traceback (most recent call last)")
    assert response.body.endswith(b"LookupError: the secret of the mistake\n")
    types = [value for name, value in response.headers.items() if name.lower() == "content-type"]
    assert types == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize("path", PATHS)
def test_in_production_the_answer_tells_nothing_of_the_mistake(path: str) -> None:
    response = call_web(site(debug=False), "GET", path)

    assert response.status_code == 500
    assert b"secret" not in response.body
    assert b"half" not in response.body


@pytest.mark.parametrize("path", ["/table", "/template", "/function"])
def test_a_page_for_an_error_has_an_id_that_leads_to_the_traceback_in_the_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = call_web(site(debug=False), "GET", path)

    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert record.exc_info
    assert vars(record)["request_id"] in response.body.decode()


@pytest.mark.parametrize("path", ["/table", "/template"])
def test_a_page_for_an_error_is_a_page_whatever_was_to_be_answered(path: str) -> None:
    headers = dict(call_web(site(debug=False), "GET", path).headers)
    assert headers.pop("X-Mine") == "1"
    assert headers == {
        "Content-Type": "text/html; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }


def test_json_for_an_error_is_json() -> None:
    response = call_web(site(debug=False), "GET", "/payload")
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.body)["status_code"] == 500

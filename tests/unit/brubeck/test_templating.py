"""Pages from templates."""

from pathlib import Path
from typing import Any

import pytest

from brubeck.application import Brubeck
from brubeck.templating import Jinja2Rendering, load_jinja2_env
from brubeck.web_handlers import WebMessageHandler
from tests.unit.brubeck.fakes import ask, brubeck, request

TEMPLATES = {
    "index.html": "<p>Hello {{ name }}</p>",
    "errors.html": "<h1>{{ error_code }}</h1><p>{{ request_id }}{{ hint }}</p>",
}


class Page(Jinja2Rendering, WebMessageHandler):
    def get(self) -> Any:
        return self.render_template("index.html", name=self.get_argument("name"))

    def put(self) -> Any:
        raise RuntimeError("a mistake")

    def post(self) -> Any:
        return self.render_template("missing.html")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for name, text in TEMPLATES.items():
        (tmp_path / name).write_text(text)
    return str(tmp_path)


@pytest.fixture
def application(folder: str) -> Brubeck:
    return brubeck((r"^/$", Page), template_loader=load_jinja2_env(folder), base_handler=Page)


def page(application: Brubeck) -> Page:
    return Page(application, request())


def test_a_template_becomes_a_page(application: Brubeck) -> None:
    response = ask(application, QUERY="name=World")
    assert (response.status_code, response.body) == (200, b"<p>Hello World</p>")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


def test_a_template_can_be_rendered_with_another_status(application: Brubeck) -> None:
    assert page(application).render_template("index.html", _status_code=201).status_code == 201


def test_what_a_browser_sent_is_escaped(application: Brubeck) -> None:
    response = ask(application, QUERY="name=<script>")
    assert response.body == b"<p>Hello &lt;script&gt;</p>"


def test_escaping_can_be_turned_off_and_other_options_go_to_jinja2(folder: str) -> None:
    environment = load_jinja2_env(folder, "<%", "%>", autoescape=False, trim_blocks=True)()
    assert environment.get_template("index.html").render(name="<b>") == "<p>Hello <b></p>"
    assert (environment.block_start_string, environment.trim_blocks) == ("<%", True)


def test_templates_are_looked_for_when_the_application_is_made() -> None:
    loader = load_jinja2_env("a folder that does not exist")
    with pytest.raises(ValueError, match="a folder that does not exist"):
        brubeck(template_loader=loader)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/nowhere", "GET", 404), ("/", "DELETE", 405), ("/", "PUT", 500)],
)
def test_errors_have_a_page_of_the_sites_own(
    application: Brubeck, path: str, method: str, status: int
) -> None:
    response = ask(application, path, method)
    assert response.status_code == status
    assert response.body == f"<h1>{status}</h1><p>a-request</p>".encode()


def test_a_missing_template_is_a_500_page(application: Brubeck) -> None:
    response = ask(application, method="POST")
    assert response.body == b"<h1>500</h1><p>a-request</p>"


def test_an_error_page_takes_the_arguments_of_the_base_class(application: Brubeck) -> None:
    # Given
    asked = page(application)
    called = []
    # When
    response = asked.render_error(503, lambda: called.append("error handler"), hint="later")
    # Then
    assert called == ["error handler"]
    assert (response.status_code, response.status_msg) == (503, "Service Unavailable")
    assert response.body == b"<h1>503</h1><p>a-requestlater</p>"


def test_a_missing_error_page_is_answered_in_plain_text(folder: str) -> None:
    # Given
    Path(folder, "errors.html").unlink()
    application = brubeck(template_loader=load_jinja2_env(folder), base_handler=Page)
    # Then
    response = ask(application, "/nowhere")
    assert (response.status_code, response.body) == (500, b"500 Internal Server Error\n")


def test_an_application_without_templates_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="template_loader"):
        brubeck().render_template("index.html")

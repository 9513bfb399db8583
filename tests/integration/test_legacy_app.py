"""Code written for Brubeck's documented interface runs here, behind either server."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.http import Answer, ask
from tests.integration.programs import Program
from tests.integration.real_mongrel2 import Mongrel2
from tests.ports import free_port

APP = Path(__file__).parent / "legacy_app.py"
TEMPLATES = {
    "list.html": "{% for e in entries %}<p>{{ e.author }}: {{ e.text }}</p>{% endfor %}{{ user }}",
    "login.html": "<form></form>",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=line"}
UPLOAD = (
    b'--line\r\nContent-Disposition: form-data; name="text"\r\n\r\nlook\r\n'
    b'--line\r\nContent-Disposition: form-data; name="photo"; filename="me.png"\r\n\r\n\x89PNG\r\n'
    b"--line--\r\n"
)


@dataclass
class Browser:
    """Keeps cookies."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        all_headers = {"Cookie": cookies} | (headers or {})
        answer = ask(self.port, path, method, headers=all_headers, body=body, timeout=30)
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


@pytest.fixture(params=["mongrel2", "wsgi"])
def browser(
    request: pytest.FixtureRequest, tmp_path: Path, start_python: Callable[..., Program]
) -> Browser:
    """A browser of the guest book."""
    (tmp_path / "templates").mkdir()
    for name, text in TEMPLATES.items():
        (tmp_path / "templates" / name).write_text(text)
    if request.param == "wsgi":
        port = free_port()
        start_python(APP, WSGI_PORT=str(port)).wait_until_it_says("listening")
    else:
        mongrel2: Mongrel2 = request.getfixturevalue("mongrel2")
        port = mongrel2.port
        start_python(APP, PULL_ADDR=mongrel2.pull_addr, PUB_ADDR=mongrel2.pub_addr)
        mongrel2.wait_for_application("/counter")
    return Browser(port)


def test_a_guest_book_of_2013_works(browser: Browser) -> None:
    # Who is not logged in is sent to do so, and gets in
    answer = browser.ask("POST", "/", b"text=hello", FORM)
    assert (answer.status, answer.headers["Location"]) == (302, "/login")
    assert browser.ask("GET", "/login").text == "<form></form>"
    assert browser.ask("POST", "/login", b"user=dave", FORM).headers["Location"] == "/"
    assert browser.cookies["seen"] == "yes"

    # Entries by form, by form with a file, by JSON
    assert browser.ask("POST", "/", b"text=+hello+", FORM).status == 302
    assert browser.ask("POST", "/", UPLOAD, MULTIPART).status == 302
    assert browser.ask("POST", "/", b"text=", FORM).status == 400
    created = browser.ask("POST", "/api", b'{"author": "ann", "text": "hi"}')
    assert created.status == 201
    assert json.loads(created.text)["status_msg"] == "Created - thank you"
    assert json.loads(created.text)["entry"] == {"author": "ann", "text": "hi", "id": 3}

    # They are there
    page = browser.ask("GET", "/")
    entries = "<p>dave: hello</p><p>dave: look</p><p>dave: me.png</p><p>ann: hi</p>"
    assert page.text == entries + "dave"
    assert page.headers["X-Prepared"] == "/"
    assert json.loads(browser.ask("GET", "/api/3").text)["author"] == "ann"
    assert len(json.loads(browser.ask("GET", "/api").text)) == 4
    assert browser.ask("GET", "/hello/ann").text == "Hello ann, 4 entries"
    assert browser.ask("GET", "/search?word=hi&word=hello&word=x").text == '["hello", "hi"]'

    # Errors as they were meant
    assert browser.ask("GET", "/api/99").status == 404
    assert json.loads(browser.ask("GET", "/api/99").text)["error"] == "IndexError"
    assert json.loads(browser.ask("PUT", "/api/1").text)["reason"] == "Forbidden"
    assert browser.ask("PUT", "/teapot").status == 405
    assert browser.ask("GET", "/nowhere").status == 404

    # The rest
    assert json.loads(browser.ask("GET", "/plain").text)["name"] == "nobody"
    assert json.loads(browser.ask("GET", "/plain/ann").text)["name"] == "ann"
    assert browser.ask("GET", "/teapot?name=pot").text == "I am a pot"
    counted = browser.ask("GET", "/counter")
    assert (counted.status, int(counted.text) >= 7) == (200, True)

    # And out
    assert browser.ask("DELETE", "/login").text == "bye"
    assert set(browser.cookies.values()) == {""}
    assert browser.ask("GET", "/").text == entries + "None"

"""Mongrel2 or our own web server in front: the same application gives the same answers."""

import gc
import hashlib
import json
import re
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import gevent
import pytest

from brubeck.connections import WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler
from tests.http import Answer, ask, connection
from tests.integration.programs import Program, python_program
from tests.integration.real_mongrel2 import Mongrel2, need_mongrel2
from tests.ports import free_port
from tests.waiting import eventually

APP = Path(__file__).parent / "every_handler_app.py"
MEGABYTE = 1024 * 1024

HTML = {"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff"}
JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=line"}

UPLOAD = (
    b'--line\r\nContent-Disposition: form-data; name="title"\r\n\r\ngr\xc3\xbcn\r\n'
    b'--line\r\nContent-Disposition: form-data; name="scan"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--line--\r\n"
)


@dataclass(frozen=True)
class Visit:
    """What a browser asks, and what it is to get; `text` None: whatever it is."""

    what: str
    method: str
    path: str
    status: int
    text: str | None
    expected: Mapping[str, str] = field(default_factory=lambda: HTML)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def ask(self, port: int) -> Answer:
        """The answer of the server at `port`."""
        headers = {"Host": "here"} | dict(self.headers)
        return ask(port, self.path, self.method, headers=headers, body=self.body, timeout=30)


def error_page(status: int) -> str:
    return f"<h1>{status}, sorry</h1>"


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest(body: bytes) -> str:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


ASKED = {
    "method": "GET",
    "path": "/message/a%2Fb//../c",
    "url": "/message/a%2Fb//../c?x=1&y=%20",
    "query": "x=1&y=%20",
    "version": "HTTP/1.1",
    "remote_addr": "127.0.0.1",
    "content_type": "text/plain",
    "x_list": "one",
    "host": "here",
    "cookies": {"a": "1", "b": "2"},
    "should_close": False,
    "is_disconnect": False,
}
ASKED_WITH = {"Content-Type": "text/plain", "X-List": "one", "Cookie": "a=1; b=2"}
ARGUMENTS = {
    "last": {"a": "2", "b": "", "c": "grün"},
    "all": {"a": ["1", " 2"], "b": [""], "c": ["grün"]},
}
FILES = {
    "files": {
        "scan": [
            {"filename": "a.bin", "body": "\0ÿ", "content_type": "application/octet-stream"},
        ]
    },
    "title": "grün",
}
PLAIN_COOKIE, SIGNED_COOKIE = "plain=tea", "signed=forged.by.somebody"
MANY = b"&".join([b"a=1"] * 1001)
TEXT = {"Content-Type": "text/plain; charset=utf-8"}

VISITS = [
    Visit("a template", "GET", "/page?name=%3Cb%3E", 200, "<h1>Hello &lt;b&gt;</h1>"),
    Visit("HEAD", "HEAD", "/page", 200, "", HTML | {"Content-Length": "21"}),
    Visit("OPTIONS", "OPTIONS", "/page", 200, "", HTML | {"Allow": "GET, HEAD, OPTIONS"}),
    Visit("one argument of two", "GET", "/hello/tea", 200, "Hello tea", TEXT),
    Visit("positional arguments", "GET", "/hello/tea/2", 200, "Hello teaHello tea", TEXT),
    Visit("a named argument", "GET", "/item/tea", 200, '{"kind":"tea","number":"none"}', JSON),
    Visit("named arguments", "GET", "/item/a%2Fb/4", 200, '{"kind":"a%2Fb","number":"4"}', JSON),
    Visit("a function", "GET", "/function/tea?greeting=Hi", 200, "Hi tea", {}),
    Visit("a function, HEAD", "HEAD", "/function/tea", 200, "", {"Content-Length": "9"}),
    Visit("a function, named arguments", "GET", "/sum/1/2", 200, "3", {"X-Method": "GET"}),
    Visit("a function, POST", "POST", "/sum/1", 200, "2", {"X-Method": "POST"}),
    Visit("the payload", "GET", "/payload", 201, None, {"Content-Type": "application/json"}),
    Visit("a query", "GET", "/arguments?a=1&a=+2&b=&c=gr%C3%BCn", 200, json_text(ARGUMENTS), JSON),
    Visit(
        "a form and a query",
        "PUT",
        "/arguments?a=1",
        200,
        json_text({"last": {"a": "2", "b": "€"}, "all": {"a": ["1", "2"], "b": ["€"]}}),
        JSON,
        FORM,
        b"a=2&b=%E2%82%AC",
    ),
    Visit("a form in parts", "POST", "/files", 200, json_text(FILES), JSON, MULTIPART, UPLOAD),
    Visit("a JSON body", "POST", "/json", 200, '{"a":[1]}', JSON, JSON, b'{"a": [1]}'),
    Visit("no body", "POST", "/digest", 200, digest(b"")),
    Visit("a long body", "POST", "/digest", 200, digest(b"x" * MEGABYTE), body=b"x" * MEGABYTE),
    Visit("a long answer", "GET", "/long/3", 200, "x" * 3 * MEGABYTE, {}),
    Visit("no answer", "DELETE", "/empty", 204, ""),
    Visit("a redirect", "GET", "/away", 302, "", {"Location": "/page?name=redirected"}),
    Visit("cookies set", "PUT", "/cookies", 200, "set"),
    Visit("a cookie", "GET", "/cookies", 200, "tea none", headers={"Cookie": PLAIN_COOKIE}),
    Visit("a forgery", "GET", "/cookies", 200, "none none", headers={"Cookie": SIGNED_COOKIE}),
    Visit(
        "cookies deleted",
        "DELETE",
        "/cookies",
        200,
        "deleted",
        HTML | {"Set-Cookie": "plain=; Max-Age=0; Path=/"},
        {"Cookie": PLAIN_COOKIE},
    ),
    Visit("the message", "GET", str(ASKED["url"]), 200, json_text(ASKED), JSON, ASKED_WITH),
    Visit("a call to a service", "GET", "/call?say=hi", 200, "200 hi handled 200"),
    Visit("a wrong method", "POST", "/page", 405, error_page(405), {"Allow": "GET, HEAD, OPTIONS"}),
    Visit("no method", "BREW", "/page", 405, error_page(405), HTML),
    Visit(
        "a function's", "PUT", "/sum/1", 405, error_page(405), HTML | {"Allow": "GET, HEAD, POST"}
    ),
    Visit("an unknown path", "GET", "/nowhere", 404, error_page(404)),
    Visit("a service handler's path", "GET", "/echo", 404, error_page(404)),
    Visit("a mistake", "GET", "/page?fail=1", 500, error_page(500)),
    Visit("a function's mistake", "GET", "/mistake", 500, error_page(500)),
    Visit("nothing returned", "GET", "/nothing", 500, None),
    Visit("a line break in a header", "GET", "/unsendable?text=a%0D%0Ab", 500, None, TEXT),
    Visit("a header beyond latin-1", "GET", "/unsendable?text=%E2%82%AC", 500, None, TEXT),
    Visit("a header that is no text", "GET", "/unsendable", 500, None, TEXT),
    Visit("too late", "GET", "/wait/20", 504, error_page(504)),
    Visit("too many arguments", "POST", "/arguments", 400, None, JSON, FORM, MANY),
    Visit("a form cut off", "POST", "/files", 400, None, JSON, MULTIPART, UPLOAD[:-9]),
    Visit("no JSON", "POST", "/json", 400, None, JSON, JSON, b"{"),
]

Servers = Mapping[str, int]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The ports of the application, once behind each server; a request may take 2 s."""
    need_mongrel2()
    folders = {name: tmp_path_factory.mktemp(name) for name in ("service", "mongrel2", "wsgi")}
    wsgi_port = str(free_port())
    settings = {
        "SERVICE_ADDR": f"ipc://{folders['service']}/echo",
        "REQUEST_TIMEOUT": "2",
    }
    with (
        Mongrel2(folders["mongrel2"] / "server") as mongrel2,
        python_program(APP, folders["service"], **settings) as service,
        python_program(
            APP,
            folders["mongrel2"],
            PULL_ADDR=mongrel2.pull_addr,
            PUB_ADDR=mongrel2.pub_addr,
            **settings,
        ),
        python_program(APP, folders["wsgi"], WSGI_PORT=wsgi_port, **settings) as wsgi,
    ):
        service.wait_until_it_says("listens")
        mongrel2.wait_for_application("/page")
        wsgi.wait_until_it_says("listening")
        yield {"Mongrel2": mongrel2.port, "WSGI": int(wsgi_port)}


@pytest.fixture(params=["Mongrel2", "WSGI"])
def port(request: pytest.FixtureRequest, servers: Servers) -> int:
    """Where browsers find the application behind one of the servers."""
    return servers[request.param]


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
    """An answer without what is different each time: ids, times, signatures."""
    headers = sorted(
        (name, re.sub(r"^signed=[\w.-]+", "signed=…", value))
        for name, value in answer.headers.items()
        if name not in ("Date", "X-Request-ID")
    )
    text = answer.text.replace(answer.request_id, "…")
    return answer.status, headers, re.sub(r'"timestamp":\d+', '"timestamp":…', text)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.what)
def test_the_answer_is_the_same_behind_both_servers(servers: Servers, visit: Visit) -> None:
    answers = {name: visit.ask(port) for name, port in servers.items()}

    for answer in answers.values():
        assert answer.status == visit.status
        assert visit.text in (None, answer.text)
        assert visit.expected.items() <= dict(answer.headers).items()
        assert answer.headers["Date"]
        assert answer.request_id
    assert comparable(answers["Mongrel2"]) == comparable(answers["WSGI"])


def test_cookies_come_back_as_they_were_set(port: int) -> None:
    # Given
    given = ask(port, "/cookies", "PUT").headers.get_all("Set-Cookie", [])
    assert [cookie.partition("=")[0] for cookie in given] == ["plain", "signed"]
    # When
    cookies = "; ".join(cookie.partition(";")[0] for cookie in given)
    # Then
    assert ask(port, "/cookies", headers={"Cookie": cookies}).text == "tea {'cups': 2}"


def test_a_body_that_is_too_long_is_refused_before_it_is_read(port: int) -> None:
    too_long = f"Content-Length: {MEGABYTE + 1}\r\n"
    assert status_of(port, "POST", "/digest", too_long) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_connection_serves_many_requests_until_one_says_that_it_shall_end(port: int) -> None:
    with connection(port, timeout=30) as browser:
        for number in range(20):
            browser.request("GET", f"/hello/{number}")
            assert browser.getresponse().read() == f"Hello {number}".encode()
        browser.request("GET", "/hello/last", headers={"Connection": "Keep-Alive, Close"})
        response = browser.getresponse()
        assert (response.read(), response.headers["Connection"]) == (b"Hello last", "close")


def test_the_answer_to_head_ends_with_its_headers(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as browser:
        browser.sendall(b"HEAD /hello/you HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: browser.recv(65536), b""))
    assert b"\r\nContent-Length: 9\r\n" in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade"])
def test_a_websocket_is_refused(port: int, connection: str) -> None:
    upgrade = f"Upgrade: websocket\r\nConnection: {connection}\r\n"
    wanted = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    assert status_of(port, "GET", "/hello/you", upgrade + wanted) == HTTPStatus.NOT_IMPLEMENTED


# What is different, because the servers are


def status_of(port: int, method: str, path: str, headers: str, body: bytes = b"") -> int:
    """The status of the answer to a request that no polite browser would make."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as browser:
        browser.sendall(f"{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode() + body)
        with HTTPResponse(browser) as response:
            response.begin()
            return response.status


def test_a_handler_can_tell_which_server_it_is_behind(servers: Servers) -> None:
    texts = {name: ask(port, "/server").text for name, port in servers.items()}
    assert texts == {"Mongrel2": "is_wsgi: False", "WSGI": "is_wsgi: True"}


@pytest.mark.parametrize(
    ("what", "headers", "body", "statuses"),
    [
        (
            "Mongrel2 reads no body in chunks",
            "Transfer-Encoding: chunked\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            {"Mongrel2": 413, "WSGI": 200},
        ),
        (
            "Mongrel2 takes a length that is none for no body",
            "Content-Length: abc\r\n",
            b"",
            {"Mongrel2": 200, "WSGI": 400},
        ),
        (
            "only Mongrel2 has uploads that could be forged",
            "X-Mongrel2-Upload-Start: /etc/passwd\r\nContent-Length: 0\r\n",
            b"",
            {"Mongrel2": 400, "WSGI": 200},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "\r" not in value else "",
)
def test_the_servers_differ(
    servers: Servers, what: str, headers: str, body: bytes, statuses: Mapping[str, int]
) -> None:
    told = {
        name: status_of(port, "POST", "/digest", headers, body) for name, port in servers.items()
    }
    assert told == statuses, what


def test_our_own_server_takes_an_address_with_all_its_parts(servers: Servers) -> None:
    for address in ("http://here/hello/you", "HTTP://here:80/hello/you?a=1"):
        assert status_of(servers["WSGI"], "GET", address, "") == HTTPStatus.OK


def test_our_own_server_waits_for_a_body_as_long_as_for_an_answer(servers: Servers) -> None:
    """Mongrel2 hands over whole requests only."""
    half = "Content-Length: 10\r\n", b"01234"
    assert status_of(servers["WSGI"], "POST", "/digest", *half) == HTTPStatus.REQUEST_TIMEOUT


IDLE_APP = """
from brubeck import wsgi_connection
from brubeck.request_handling import Brubeck, WebMessageHandler

class Long(WebMessageHandler):
    def get(self):
        self.set_body("x" * 20_000_000)
        return self.render()

class OnePiece(WebMessageHandler):
    def get(self):
        self.set_body(iter(["x" * 20_000_000]))
        return self.render()

wsgi_connection._Handler.idle = 1.0
routes = [(r"^/long$", Long), (r"^/piece$", OnePiece)]
Brubeck(wsgi_connection.WSGIConnection(%d), routes).run()
"""


@pytest.fixture
def impatient_port(start_python: Callable[..., Program], tmp_path: Path) -> Iterator[int]:
    """Where our own server closes connections after a second."""
    port = free_port()
    (tmp_path / "idle_app.py").write_text(IDLE_APP % port)
    app = start_python(tmp_path / "idle_app.py")
    app.wait_until_it_says("listening")
    yield port
    assert "Traceback" not in app.said


@pytest.mark.parametrize(
    "said",
    [
        "",
        "GET /long HTTP/1.1\r\nHo",
        "GET /long HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
)
def test_our_own_server_lets_go_of_browsers_that_neither_send_nor_read(
    impatient_port: int, said: str
) -> None:
    with socket.create_connection(("127.0.0.1", impatient_port), timeout=30) as browser:
        browser.sendall(said.encode())
        eventually(lambda: connections_to(impatient_port), "it is there", seconds=10)
        eventually(lambda: not connections_to(impatient_port), "it is closed", seconds=10)


@pytest.mark.parametrize("path", ["/long", "/piece"])
def test_our_own_server_waits_for_browsers_that_read_slowly(impatient_port: int, path: str) -> None:
    received = 0
    with connection(impatient_port) as browser:
        browser.request("GET", path)
        response = browser.getresponse()
        while part := response.read(1_000_000):
            received += len(part)
            time.sleep(0.2)
    assert received == 20_000_000


def connections_to(port: int) -> list[str]:
    """The connections that a server at this port has."""
    tables = (Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6"))
    entries = (line.split() for table in tables for line in table.splitlines()[1:])
    established, here = "01", f":{port:04X}"
    return [e[1] for e in entries if e[1].endswith(here) and e[3] == established]


# A life


@dataclass(frozen=True)
class Running:
    """The application behind a server."""

    app: Program
    port: int


@pytest.fixture(params=["Mongrel2", "WSGI"])
def running(
    request: pytest.FixtureRequest, tmp_path: Path, start_python: Callable[..., Program]
) -> Iterator[Running]:
    """The application behind one of the servers, to be stopped."""
    if request.param == "WSGI":
        port = free_port()
        app = start_python(APP, WSGI_PORT=str(port))
        app.wait_until_it_says("listening")
        yield Running(app, port)
        return
    need_mongrel2()
    with Mongrel2(tmp_path / "mongrel2") as mongrel2:
        app = start_python(APP, PULL_ADDR=mongrel2.pull_addr, PUB_ADDR=mongrel2.pub_addr)
        mongrel2.wait_for_application("/page")
        yield Running(app, mongrel2.port)


def test_told_to_stop_it_finishes_what_it_has_in_hand(running: Running) -> None:
    with ThreadPoolExecutor() as browsers, connection(running.port) as idle:
        # Given a slow request, and a connection that is kept for more
        idle.request("GET", "/hello/idle")
        idle.getresponse().read()
        waiting = browsers.submit(ask, running.port, "/wait/1.5")
        answered = browsers.submit(ask, running.port, "/wait/0.5").result()
        # When
        status = running.app.stop()
        # Then
        assert answered.text == waiting.result().text == "it took a while"
        assert status == 0


def test_told_to_stop_it_sends_a_long_answer_to_its_end(running: Running) -> None:
    with ThreadPoolExecutor() as operators, socket.socket() as browser:
        # Given a browser that has only begun to read
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        browser.settimeout(30)
        browser.connect(("127.0.0.1", running.port))
        browser.sendall(b"GET /long/20 HTTP/1.1\r\nHost: here\r\n\r\n")
        response = HTTPResponse(browser)
        response.begin()
        # When
        status = operators.submit(running.app.stop)
        eventually(lambda: "stopping" in running.app.said, "it was told to stop", seconds=10)
        # Then
        assert len(response.read()) == 20 * MEGABYTE
        assert status.result() == 0


def test_our_own_server_refuses_browsers_that_come_while_it_stops(
    start_python: Callable[..., Program],
) -> None:
    """Mongrel2 keeps them, for the next application."""
    # Given
    port = free_port()
    app = start_python(APP, WSGI_PORT=str(port))
    app.wait_until_it_says("listening")
    with ThreadPoolExecutor() as browsers, connection(port) as kept:
        kept.request("GET", "/wait/0")
        kept.getresponse().read()
        waiting = browsers.submit(ask, port, "/wait/2")
        ask(port, "/wait/0.3")
        # When
        status = browsers.submit(app.stop)
        eventually(lambda: "stopping" in app.said, "it was told to stop", seconds=10)
        # Then
        eventually(lambda: ask(port, "/hello/you").status == 0, "it is refused", seconds=1)
        kept.request("GET", "/hello/you")
        assert kept.getresponse().headers["Connection"] == "close"
        assert waiting.result().text == "it took a while"
        assert status.result() == 0


REPEATS = """
import gevent
from brubeck import wsgi_connection
from brubeck.request_handling import Brubeck, WebMessageHandler

class Repeats(WebMessageHandler):
    def post(self):
        gevent.sleep(0.6)  # answers that were made have less time to leave
        self.set_body(self.message.body)
        return self.render()

wsgi_connection.FINISH = 0.2
server = wsgi_connection.WSGIConnection(%d, "127.0.0.1")
Brubeck(server, [(r"^/$", Repeats)], drain_timeout=20).run()
"""


def test_our_own_server_told_to_stop_answers_a_request_that_has_come_in_part(
    start_python: Callable[..., Program], tmp_path: Path
) -> None:
    """Mongrel2 hands on whole ones."""
    # Given
    port = free_port()
    (tmp_path / "repeats.py").write_text(REPEATS % port)
    app = start_python(tmp_path / "repeats.py")
    app.wait_until_it_says("listening")
    with (
        ThreadPoolExecutor() as operators,
        socket.create_connection(("127.0.0.1", port), timeout=30) as browser,
    ):
        headers = b"Host: here\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
        browser.sendall(b"POST / HTTP/1.1\r\n" + headers + b"\r\nha")
        assert browser.recv(1000).startswith(b"HTTP/1.1 100 "), "it reads the body"
        # When
        status = operators.submit(app.stop)
        eventually(lambda: "stopping" in app.said, "it was told to stop", seconds=10)
        browser.sendall(b"lf")
        # Then
        response = HTTPResponse(browser)
        response.begin()
        assert (response.status, response.read()) == (200, b"half")
        assert status.result() == 0


def test_our_own_server_keeps_nothing_of_what_it_has_answered() -> None:
    """Not even until Python looks for cycles: bodies may be long, and that is seldom."""
    asked: weakref.WeakSet[Any] = weakref.WeakSet()

    class Page(WebMessageHandler):
        def get(self) -> Any:
            asked.add(self.message)
            self.set_body(iter(["in ", "pieces"]) if self.get_argument("stream") else "whole")
            return self.render()

    port = free_port()
    server = WSGIConnection(port, "127.0.0.1")
    serving = gevent.spawn(server.recv_forever_ever, Brubeck(server, [(r"^/$", Page)]))
    gevent.sleep(0)
    gc.disable()
    try:
        assert [ask(port, path).text for path in ("/", "/?stream=1")] == ["whole", "in pieces"]
        eventually(lambda: not asked, "nothing is left of them", seconds=5)
    finally:
        gc.enable()
        server.stop()
        serving.get(timeout=10)


def test_a_browser_that_leaves_in_the_middle_is_nobodys_problem(running: Running) -> None:
    for data in (
        b"GET /hello/you HTTP/1.1\r\nHost:",
        b"POST /digest HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n01234",
        b"GET /wait/0.1 HTTP/1.1\r\nHost: here\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as browser:
            browser.sendall(data)
    assert ask(running.port, "/wait/0.2").text == "it took a while"
    assert "Traceback" not in running.app.said

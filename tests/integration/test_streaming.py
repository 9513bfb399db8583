"""Answers piece by piece, behind Mongrel2 and behind our own web server alike."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import pytest

from tests.http import Answer, ask, connection
from tests.integration.programs import Program, resident
from tests.integration.real_mongrel2 import Mongrel2
from tests.metrics import values
from tests.ports import free_port
from tests.waiting import eventually

APP = Path(__file__).parent / "streaming_app.py"


@dataclass
class Server:
    """What browsers reach, and the application behind it."""

    port: int
    app: Program
    metrics_port: int

    def ask(self, path: str, method: str = "GET") -> Answer:
        return ask(self.port, path, method, timeout=20)


@pytest.fixture(params=["mongrel2", "wsgi"])
def server(
    request: pytest.FixtureRequest,
    start_mongrel2: Callable[..., Mongrel2],
    start_python: Callable[..., Program],
) -> Server:
    metrics_port = free_port()
    start = partial(start_python, APP, METRICS_PORT=str(metrics_port))
    if request.param == "wsgi":
        port = free_port()
        app = start(WSGI_PORT=str(port))
        app.wait_until_it_says("listening")
        return Server(port, app, metrics_port)
    mongrel2 = start_mongrel2(min_ping=2)
    app = start(PULL_ADDR=mongrel2.pull_addr, PUB_ADDR=mongrel2.pub_addr)
    mongrel2.wait_for_application("/function")
    return Server(mongrel2.port, app, metrics_port)


def pieces_of(response: HTTPResponse) -> Iterator[tuple[float, bytes]]:
    """The pieces of a body as they come, and when."""
    while piece := response.read1():
        yield time.monotonic(), piece


def raw(port: int, request: str) -> bytes:
    """What a server says to a request until it ends the connection."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
        browser.sendall(request.encode())
        while data := browser.recv(65536):
            said += data
    return said


def test_each_piece_arrives_when_it_is_there(server: Server) -> None:
    with connection(server.port) as browser:
        browser.request("GET", "/count?to=5&pause=0.3")
        response = browser.getresponse()
        times, pieces = zip(*pieces_of(response), strict=True)

        assert response.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in response.headers
        assert b"".join(pieces) == b"0 1 2 3 4 "
        assert times[-1] - times[0] > 0.9, "they came together"

        browser.request("GET", "/function")
        assert browser.getresponse().read() == b"one two", "the connection goes on"


def test_a_post_is_streamed_too(server: Server) -> None:
    assert server.ask("/count?to=3", "POST").text == "0 1 2 "


def test_a_browser_that_knows_no_chunks_gets_the_same_until_the_connection_ends(
    server: Server,
) -> None:
    said = raw(server.port, "GET /count HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")

    assert body == b"0 1 2 3 4 "
    assert b"chunked" not in head
    assert b"keep-alive" not in head


def test_a_connection_that_is_to_end_ends_after_the_last_piece(server: Server) -> None:
    said = raw(server.port, "GET /count HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"2\r\n4 \r\n0\r\n\r\n")


def test_head_gets_no_piece(server: Server) -> None:
    said = raw(server.port, "HEAD /count HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")

    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\n")
    assert b"0 " not in said.partition(b"\r\n\r\n")[2]


def test_a_connection_serves_the_next_request_after_head(server: Server) -> None:
    with connection(server.port) as browser:
        browser.request("HEAD", "/count")
        assert browser.getresponse().read() == b""
        browser.request("GET", "/function")
        assert browser.getresponse().read() == b"one two"


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_body_of_no_piece_is_an_empty_one(server: Server, status: int) -> None:
    with connection(server.port) as browser:
        browser.request("GET", f"/nothing/{status}")
        response = browser.getresponse()
        assert (response.status, response.read()) == (status, b"")
        browser.request("GET", "/function")
        assert browser.getresponse().read() == b"one two"


def test_a_head_that_cannot_be_sent_is_a_500_and_no_stream_goes_on(server: Server) -> None:
    def count(what: str) -> int:
        return server.app.said.count(f"a stream without a head {what}")

    for value in ("a%0D%0Ab", "%E2%82%AC"):
        assert server.ask(f"/bad-header?value={value}").status == 500
        assert values(server.metrics_port, "brubeck_in_hand") == {(): 0}

    eventually(lambda: count("is over") == count("has begun"), "what began is over", seconds=10)


def test_a_body_that_breaks_is_cut_and_does_not_look_whole(server: Server) -> None:
    with connection(server.port) as browser:
        browser.request("GET", "/count?fail=yes")
        response = browser.getresponse()
        with pytest.raises(IncompleteRead):
            response.read()
    server.app.wait_until_it_says("LookupError: a mistake")
    assert server.ask("/function").text == "one two"


def test_a_stream_may_last_as_long_as_pieces_come(server: Server) -> None:
    assert server.ask("/count?to=12&pause=0.3").text == "".join(f"{n} " for n in range(12))


def test_a_stream_without_a_piece_for_too_long_is_cut(server: Server) -> None:
    began = time.monotonic()
    with connection(server.port) as browser:
        browser.request("GET", "/count?to=2&pause=60")
        response = browser.getresponse()
        with pytest.raises(IncompleteRead):
            response.read()

    assert 1.5 < time.monotonic() - began < 10
    server.app.wait_until_it_says("the count is over")


def test_the_stream_of_a_browser_that_left_is_ended(server: Server) -> None:
    with connection(server.port) as browser:
        browser.request("GET", "/count?to=1000&pause=0.1")
        browser.getresponse().read1()

    server.app.wait_until_it_says("the count is over")


def test_a_stream_that_will_not_end_is_ended_when_its_browser_has_left(server: Server) -> None:
    with connection(server.port) as browser:
        browser.request("GET", "/stubborn")
        browser.getresponse().read1()

    server.app.wait_until_it_says("the stubborn one is over")


def test_a_stream_is_counted_by_how_it_ended(server: Server) -> None:
    def count(name: str) -> dict[tuple[str, ...], float]:
        counted = values(server.metrics_port, name)
        return {labels: n for labels, n in counted.items() if "^/count$" in labels}

    assert server.ask("/count").status == 200
    for end in ("fail=yes", "to=2&pause=60"):
        with connection(server.port) as browser:
            browser.request("GET", f"/count?{end}")
            with pytest.raises(IncompleteRead):
                browser.getresponse().read()
    with connection(server.port) as browser:
        browser.request("GET", "/count?to=1000&pause=0.1")
        browser.getresponse().read1()

    abandoned = {("^/count$",): 1.0}
    eventually(lambda: count("brubeck_abandoned_total") == abandoned, "it is counted", seconds=10)
    assert count("brubeck_http_request_duration_seconds_count") == {
        ("GET", "^/count$", "200"): 1,
        ("GET", "^/count$", "500"): 1,
        ("GET", "^/count$", "504"): 1,
    }


def test_the_stream_of_a_browser_that_does_not_read_is_ended_and_others_notice_nothing(
    server: Server,
) -> None:
    with connection(server.port) as stalled:
        stalled.request("GET", "/flood")
        stalled.getresponse()
        assert server.ask("/count?to=5&pause=0.1").text == "0 1 2 3 4 "
        server.app.wait_until_it_says("the flood is over", seconds=20)
        assert resident(server.app.pid) < 150_000_000


def test_a_server_that_is_told_to_stop_finishes_its_streams(server: Server) -> None:
    with ThreadPoolExecutor() as browsers:
        answer = browsers.submit(server.ask, "/count?to=10&pause=0.2")
        time.sleep(0.5)
        assert server.app.stop() == 0

        assert answer.result().text == "".join(f"{n} " for n in range(10))


def test_many_streams_at_once_are_each_whole(server: Server) -> None:
    with ThreadPoolExecutor(50) as browsers:
        answers = list(browsers.map(server.ask, ["/count?to=10&pause=0.1"] * 50))

    assert {answer.text for answer in answers} == {"".join(f"{n} " for n in range(10))}
    eventually(lambda: server.app.said.count("the count is over") == 50, "all ended", seconds=5)


SORRY_APP = """
import gevent
from brubeck.connections import WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler

class Sorry(WebMessageHandler):
    def render_error(self, status_code, **_):
        self.set_body(iter(["sorry"]), status_code=status_code)
        return self.render()

class Late(Sorry):
    def get(self):
        gevent.sleep(60)

class Cut(Sorry):
    def get(self):
        self.set_body(self.pieces())
        return self.render()

    def pieces(self):
        yield "half of it"
        gevent.sleep(60)

routes = [("^/late$", Late), ("^/cut$", Cut)]
server = WSGIConnection(%d, "127.0.0.1")
Brubeck(server, routes, base_handler=Sorry, request_timeout=0.3).run()
"""


def test_what_is_too_late_is_no_stream_though_error_pages_are(
    start_python: Callable[..., Program], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "sorry_app.py").write_text(SORRY_APP % port)
    start_python(tmp_path / "sorry_app.py").wait_until_it_says("listening")

    late = ask(port, "/late", timeout=10)
    assert (late.status, late.text) == (504, "504 Gateway Timeout\n")

    with connection(port, timeout=10) as browser:
        browser.request("GET", "/cut")
        response = browser.getresponse()
        assert response.read1() == b"half of it"
        with pytest.raises(IncompleteRead):
            response.read()


def test_a_request_that_is_refused_ends_no_other(
    start_python: Callable[..., Program],
) -> None:
    port = free_port()
    start_python(APP, WSGI_PORT=str(port), METRICS_PORT="0").wait_until_it_says("listening")
    with ThreadPoolExecutor() as browsers:
        first = browsers.submit(ask, port, "/slow", timeout=10)
        time.sleep(0.5)
        assert ask(port, "/function", "POST", body=bytes(2 * 1024 * 1024)).status == 413

        assert first.result().text == "at last"

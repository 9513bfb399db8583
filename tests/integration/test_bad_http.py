"""HTTP that no polite browser speaks: it is answered or refused, and nobody else notices."""

import base64
import pickle
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse

import pytest

from brubeck import cookies
from tests.http import ask, connection
from tests.integration.programs import Program
from tests.integration.real_mongrel2 import Mongrel2
from tests.integration.web import (
    COOKIE_SECRET,
    Web,
    everything_from,
    raw_connection,
    request,
    start_app,
    status_of,
)
from tests.waiting import eventually

StartMongrel2 = Callable[..., Mongrel2]
StartPython = Callable[..., Program]

CLOSE = "Connection: close\r\n"
MEGABYTE = 1024 * 1024
LARGEST_HEAD = 16 * 1024


@pytest.fixture(autouse=True)
def the_next_browser_is_served(running_web: Web) -> Iterator[None]:
    """Whatever the last one said; and no handler ran into an error nobody foresaw."""
    yield
    answer = running_web.mongrel2.ask("/echo?say=still+here")
    assert answer.text == "still here"
    # It is sent before it is logged, and the next test counts lines.
    eventually(lambda: answer.request_id in running_web.app.said, "it is logged", seconds=5)
    failed = re.findall(r"(\S+): the handler failed", running_web.app.said)
    assert set(failed) <= {"/injects"}  # as it should


# The head of a request


def head_of(length: int) -> bytes:
    """A request whose head has this many bytes."""
    return request(
        "/echo", headers=f"X: {'x' * (length - len(request('/echo', headers='X: ')) - 2)}\r\n"
    )


@pytest.mark.parametrize(("length", "status"), [(LARGEST_HEAD, 200), (LARGEST_HEAD + 1, 400)])
def test_a_head_has_a_largest_size(web: Mongrel2, length: int, status: int) -> None:
    assert len(head_of(length)) == length
    assert status_of(web, head_of(length)) == status


def test_more_headers_than_mongrel2_takes_are_left_out(web: Mongrel2) -> None:
    many = "".join(f"X{number}:1\r\n" for number in range(1400))
    assert status_of(web, request("/echo", headers=many)) == 200


@pytest.mark.parametrize(
    ("name", "values", "heard"),
    [
        ("x", ["1", "2", "3", "4", "5", "6"], "1, 2, 3, 4, 5"),  # Mongrel2 takes five
        ("cookie", ["a=1", "b=2"], "a=1; b=2"),
        ("host", ["there"], "here, there"),
        ("content-length", ["0", "0"], "0, 0"),
    ],
)
def test_a_header_that_repeats_is_one_of_all_its_values(
    web: Mongrel2, name: str, values: list[str], heard: str
) -> None:
    headers = "".join(f"{name}: {value}\r\n" for value in values)
    with raw_connection(web, request(f"/header/{name}", headers=headers + CLOSE)) as browser:
        assert everything_from(browser).endswith(f"\r\n\r\n{heard}".encode())


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("a\tb", 200),
        ("\x80\xff", 200),
        ("\x1b[31m", 200),
        ("a\r\n folded", 400),
        ("a\x00b", 400),
        ("a\x7fb", 400),
    ],
)
def test_odd_bytes_in_a_header_are_answered_or_refused(
    web: Mongrel2, value: str, status: int
) -> None:
    assert status_of(web, request("/echo", headers=f"X: {value}\r\n")) == status


def test_header_bytes_that_are_no_text_reach_the_handler(web: Mongrel2) -> None:
    odd = request("/header/x", headers=f"X: a\tb \xff\xfe\r\n{CLOSE}")
    with raw_connection(web, odd) as browser:
        assert everything_from(browser).endswith("\r\n\r\na\tb ÿþ".encode())


# Methods and paths


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("BREW", "/echo", 405),
        ("TRACE", "/echo", 405),
        ("CONNECT", "/echo", 405),
        ("CONNECT", "here:443", 404),
        ("OPTIONS", "*", 404),
        ("XML", "/echo", 405),
        ("JSON", "/echo", 405),
        ("JSON", "@*", 404),
        ("A" * 20, "/echo", 405),
        ("A" * 21, "/echo", 400),
        ("get", "/echo", 400),
        ("G@T", "/echo", 400),
        ("", "/echo", 400),
    ],
)
def test_a_method_that_nobody_has_is_refused(
    web: Mongrel2, method: str, path: str, status: int
) -> None:
    assert status_of(web, request(path, method)) == status


@pytest.mark.parametrize("body", ['{"type":"disconnect"}', '{"type', "\xff", "[" * 1000])
def test_a_browser_cannot_pretend_to_be_mongrel2_saying_that_it_left(
    web: Mongrel2, body: str
) -> None:
    with connection(web.port) as browser:
        browser.request("JSON", "/echo", body=body.encode("latin-1"))
        response = browser.getresponse()
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/../../etc/passwd", 404),
        ("/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/echo/../../../etc/passwd", 404),
        ("/echo%00", 404),
        ("/echo;x", 404),
        ("//echo", 404),
        ("http://here/echo", 404),
        ("/" + "x" * 8000, 404),
        ("echo", 404),
        ("?say=x", 404),
        ("/%zz", 400),
        ("/caf\xc3\xa9", 400),
        ("/a\x01b", 400),
        ("/a{b}", 400),
        ("/echo?say=<script>", 400),
        ("/echo?" + "&".join(["a="] * 1000), 200),
        ("/echo?" + "&".join(["a="] * 1001), 400),
        ("/echo?" + "&".join(["a"] * 7000), 400),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_path_that_is_none_is_refused_and_no_file_is_read(
    web: Mongrel2, path: str, status: int
) -> None:
    with raw_connection(web, request(path, headers=CLOSE)) as browser:
        answer = everything_from(browser)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"root:" not in answer


# Bodies


def posted(body: str, *lengths: object, headers: str = "") -> bytes:
    """A body of which its length says something else."""
    said = "".join(f"Content-Length: {length}\r\n" for length in lengths)
    return request("/length", "POST", headers=said + headers + CLOSE, body=body)


def test_a_body_of_the_largest_size_arrives(web: Mongrel2) -> None:
    with raw_connection(web, posted("x" * MEGABYTE, MEGABYTE)) as browser:
        assert everything_from(browser).endswith(str(MEGABYTE).encode())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"Content-Length: {MEGABYTE + 1}\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", 413),
        ("Expect: tea\r\nContent-Length: 5\r\n", 417),
    ],
)
def test_a_body_that_is_not_taken_is_refused_before_it_is_read(
    web: Mongrel2, headers: str, status: int
) -> None:
    assert status_of(web, request("/length", "POST", headers=headers)) == status


@pytest.mark.parametrize(
    "lengths",
    [["-1"], ["abc"], [""], ["0x10"], ["5, 6"], ["+5"], [2**31], [2**32], [10**20], [5, 6], [3]],
)
def test_a_length_that_lies_ends_the_connection_and_harms_no_other(
    web: Mongrel2, lengths: list[object]
) -> None:
    with raw_connection(web, posted("hello", *lengths)) as browser:
        answers = everything_from(browser)

    statuses = re.findall(rb"^HTTP/1\.1 (\d+)", answers, re.M)
    assert statuses
    assert set(statuses) <= {b"200", b"400", b"413"}


def test_chunks_beside_a_length_are_not_taken_for_a_body(web: Mongrel2) -> None:
    chunks = posted("3\r\nabc\r\n0\r\n\r\n", 3, headers="Transfer-Encoding: chunked\r\n")
    assert status_of(web, chunks) in (200, 400)


# What browsers try to have done


@pytest.mark.parametrize("where", ["header", "status", "cookie", "redirect"])
@pytest.mark.parametrize("line_break", ["%0d%0a", "%0a", "%0d"])
def test_a_line_break_never_reaches_the_header(web: Mongrel2, where: str, line_break: str) -> None:
    answer = web.ask(f"/injects?where={where}&value=a{line_break}Set-Cookie:%20x=1")

    assert answer.status == 500
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", ["x-mongrel2-upload-start", "X-Mongrel2-Upload-Done"])
def test_a_forged_upload_is_refused(web: Mongrel2, name: str) -> None:
    answer = ask(web.port, "/length", "POST", headers={name: "/etc/passwd"})

    assert answer.status == 400
    assert "root:" not in answer.text


SIGNED = cookies.sign(COOKIE_SECRET, "user", "tea")
COOKIES = {
    "unsigned": "user=tea",
    "cut off": f"user={SIGNED[:-1]}",
    "signed for another name": f"user={cookies.sign(COOKIE_SECRET, 'admin', 'tea')}",
    "signed by somebody else": f"user={cookies.sign('a secret of nobody', 'user', 'tea')}",
    "a pickle": f"user={base64.b64encode(pickle.dumps('tea')).decode()}",
    "8 KB": "user=" + "x" * 8000,
    "beyond ASCII": "user=\xff\xfe",
    "a forgery before a good one": f"user=tea; user={SIGNED}",
    "nothing but separators": ";;;===;",
}


@pytest.mark.parametrize("kind", COOKIES)
def test_a_cookie_that_was_not_signed_here_counts_as_none(web: Mongrel2, kind: str) -> None:
    asking = request("/cookies/user", headers=f"Cookie: {COOKIES[kind]}\r\n{CLOSE}")
    with raw_connection(web, asking) as browser:
        answer = everything_from(browser)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b" none")


def test_a_cookie_that_was_signed_here_counts(web: Mongrel2) -> None:
    cookie = f"user={cookies.sign(COOKIE_SECRET, 'user', 'tea')}"  # now: it counts for a minute
    assert ask(web.port, "/cookies/user", headers={"Cookie": cookie}).text.endswith(" tea")


# Other protocols


def test_a_websocket_is_refused_and_its_connection_ends(web: Mongrel2) -> None:
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    )
    with raw_connection(web, request("/echo", headers=upgrade)) as browser:
        answer = everything_from(browser)

    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    "data",
    [
        b"@echo {}\0",
        b'@* {"type":"disconnect"}\0',
        b"<echo/>\0",
        b"<policy-file-request/>\0",
        b"GET /echo\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + bytes(100),
        bytes(range(256)),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_http_is_ended_before_the_application_sees_it(
    running_web: Web, data: bytes
) -> None:
    replied = running_web.app.said.count("replied")
    with raw_connection(running_web.mongrel2, data) as browser:
        answer = everything_from(browser)

    assert b"HTTP/1.1 200" not in answer
    assert running_web.app.said.count("replied") == replied


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 20])
def test_bytes_that_are_no_zeromq_at_mongrel2s_own_ports_harm_nobody(
    web: Mongrel2, data: bytes
) -> None:
    for addr in (web.pull_addr, web.pub_addr):
        port = int(addr.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            stranger.sendall(data)


# Browsers that leave, that are slow, that are many


def test_the_handler_of_a_browser_that_left_is_ended_and_nobody_gets_its_answer(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2()
    app = start_app(start_python, mongrel2)
    with raw_connection(mongrel2, request("/echo?say=unheard&seconds=3")):
        time.sleep(0.5)

    app.wait_until_it_says("the handler was ended: too late, or nobody waits", seconds=5)
    for number in range(20):
        assert mongrel2.ask(f"/echo?say={number}&seconds=0.2").text == str(number)
    assert "GET /echo 504" not in app.said


SLOW: dict[str, tuple[bytes, bytes]] = {
    "says nothing": (b"", b""),
    "dribbles a head": (b"GET /echo HTTP/1.1\r\nX: ", b"x"),
    "dribbles a body": (request("/length", "POST", headers="Content-Length: 1000\r\n"), b"x"),
    "stops in a body": (request("/length", "POST", headers="Content-Length: 9\r\n", body="x"), b""),
}
"""What slow browsers say first, and then every now and again."""


@pytest.mark.parametrize("kind", SLOW)
def test_slow_browsers_are_ended_within_seconds_and_hold_up_nobody(
    start_mongrel2: StartMongrel2, start_python: StartPython, kind: str
) -> None:
    mongrel2 = start_mongrel2(min_ping=2)
    start_app(start_python, mongrel2)
    first, then = SLOW[kind]

    with ExitStack() as open_ones:
        slow = {open_ones.enter_context(raw_connection(mongrel2, first)) for _ in range(60)}
        started = time.monotonic()
        while slow:
            assert time.monotonic() - started < 20, f"{len(slow)} are still there"
            assert mongrel2.ask("/echo").seconds < 1.5
            slow -= {browser for browser in slow if has_ended(browser, then)}
            time.sleep(0.2)


def has_ended(browser: socket.socket, more: bytes) -> bool:
    """Whether a connection was closed; if not, `more` is said on it."""
    try:
        while select.select([browser], [], [], 0)[0]:
            if not browser.recv(65536):
                return True
        browser.sendall(more)
    except ConnectionError:
        return True
    return False


def test_browsers_that_do_not_read_their_answers_hold_up_nobody(web: Mongrel2) -> None:
    with ExitStack() as open_ones:
        for _ in range(30):
            open_ones.enter_context(raw_connection(web, request("/long/3")))
        for _ in range(50):
            assert web.ask("/echo").seconds < 1.5

        reads = open_ones.enter_context(raw_connection(web, request("/long/3")))
        with HTTPResponse(reads) as response:
            response.begin()
            assert len(response.read()) == 3 * MEGABYTE


def test_idle_browsers_past_the_bound_of_those_that_may_wait_hold_up_nobody(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2(max_fd=400, min_ping=60)  # half of them may wait at a time
    start_app(start_python, mongrel2)

    with ExitStack() as open_ones:
        idle = [open_ones.enter_context(raw_connection(mongrel2, b"")) for _ in range(300)]
        for _ in range(100):
            assert mongrel2.ask("/echo").seconds < 1.5
        assert not any(has_ended(browser, b"") for browser in idle), "all were there meanwhile"

    eventually(lambda: mongrel2.ask("/echo").status == 200, "it serves", seconds=5)

"""HTTP through the real Mongrel2: always one answer, to the right browser."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import zmq

from tests.http import connection
from tests.integration.programs import Program
from tests.integration.real_mongrel2 import Mongrel2
from tests.integration.web import everything_from, raw_connection, request, start_app

StartMongrel2 = Callable[..., Mongrel2]
StartPython = Callable[..., Program]


# Always an answer


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/echo", "GET", 200),
        ("/echo", "OPTIONS", 200),
        ("/nowhere", "GET", 404),
        ("/echo", "DELETE", 405),
        ("/raises", "GET", 500),
        ("/nothing", "GET", 500),
        ("/echo?seconds=20", "GET", 504),
    ],
)
def test_every_request_has_an_answer_with_a_status_of_its_own(
    web: Mongrel2, path: str, method: str, status: int
) -> None:
    assert web.ask(path, method).status == status
    assert web.ask("/echo?say=still+here").text == "still here"


def test_a_wrong_method_is_told_the_right_ones(web: Mongrel2) -> None:
    assert web.ask("/echo", "POST").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_the_arguments_of_a_url_reach_the_handler_and_a_missing_one_has_its_default(
    web: Mongrel2,
) -> None:
    assert json.loads(web.ask("/json/dave/4").text) == {"name": "dave", "number": "4"}
    assert json.loads(web.ask("/json/dave").text) == {"name": "dave", "number": "none"}


# Connections


def test_head_has_the_length_of_the_body_but_no_body(web: Mongrel2) -> None:
    with connection(web.port) as browser:
        browser.request("HEAD", "/echo?say=hello")
        response = browser.getresponse()
        assert (response.status, response.headers["Content-Length"]) == (200, "5")
        assert response.read() == b""

        browser.request("GET", "/echo?say=next")
        assert browser.getresponse().read() == b"next"


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.0", ""), ("1.1", "Connection: close\r\n"), ("1.1", "Connection: Keep-Alive, Close\r\n")],
)
def test_a_connection_that_shall_end_ends_with_the_answer(
    web: Mongrel2, version: str, headers: str
) -> None:
    with raw_connection(web, request("/echo?say=bye", version=version, headers=headers)) as browser:
        answer = everything_from(browser)

    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nbye")


def test_an_old_browser_that_asks_to_stay_connected_is_told_that_it_is(web: Mongrel2) -> None:
    stay = request("/echo?say=one", version="1.0", headers="Connection: keep-alive\r\n")
    with raw_connection(web, stay + request("/echo?say=two", version="1.0")) as browser:
        answers = everything_from(browser)

    assert answers.count(b"\r\nConnection: keep-alive\r\n") == 1
    assert answers.endswith(b"\r\n\r\ntwo")


def test_ten_thousand_requests_can_share_a_connection(web: Mongrel2) -> None:
    with connection(web.port) as browser:
        for number in range(10_000):
            browser.request("GET", f"/echo?say={number}")
            assert browser.getresponse().read() == str(number).encode()


def test_pipelined_requests_are_answered_in_their_order(web: Mongrel2) -> None:
    slow = request("/echo?say=first&seconds=0.5")
    quick = request("/echo?say=second", headers="Connection: close\r\n")
    with raw_connection(web, slow + quick) as browser:
        answers = everything_from(browser)

    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b"\r\n\r\nfirst") < answers.index(b"\r\n\r\nsecond")


def test_a_slow_request_holds_up_nobody_else(web: Mongrel2) -> None:
    with ThreadPoolExecutor() as browsers:
        slow = browsers.submit(web.ask, "/echo?say=slow&seconds=2")
        assert web.ask("/echo?say=quick").seconds < 1.5
        assert slow.result().text == "slow"


# Leases


def test_a_slow_answer_outlives_the_time_mongrel2_keeps_silent_connections(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2(min_ping=2)
    start_app(start_python, mongrel2)

    assert mongrel2.ask("/echo?say=patience&seconds=7").text == "patience"


def test_a_handler_that_computes_costs_no_request_in_hand_its_connection(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2(min_ping=2)
    start_app(start_python, mongrel2)
    with ThreadPoolExecutor() as browsers:
        waiting = browsers.submit(mongrel2.ask, "/echo?say=patience&seconds=2")
        time.sleep(0.5)
        assert mongrel2.ask("/hogs?seconds=6").text == "computed"
        assert waiting.result().text == "patience"


def test_the_browsers_of_an_application_that_died_are_told_within_seconds(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2(min_ping=2)
    app = start_app(start_python, mongrel2)
    with ThreadPoolExecutor(10) as browsers:
        waiting = [browsers.submit(mongrel2.ask, "/echo?seconds=25") for _ in range(10)]
        time.sleep(2)
        killed = time.monotonic()
        app.kill()

        assert [answer.result().status for answer in waiting] == [0] * 10
        assert time.monotonic() - killed < 7


# Restarts of Mongrel2


@pytest.mark.parametrize("ident", ["fresh", "fixed"])
def test_after_a_restart_no_browser_gets_the_answer_of_an_earlier_one(
    start_mongrel2: StartMongrel2, start_python: StartPython, ident: str
) -> None:
    mongrel2 = start_mongrel2(ident=ident)
    app = start_app(start_python, mongrel2)
    for _ in range(2):
        with ThreadPoolExecutor() as browsers:
            # Connections are counted from the start: these are asked for under the same numbers.
            earlier = [
                browsers.submit(mongrel2.ask, "/echo?say=secret&seconds=2") for _ in range(4)
            ]
            time.sleep(0.5)
            mongrel2.restart()
            later = [browsers.submit(mongrel2.ask, "/echo?say=mine&seconds=3") for _ in range(8)]

            assert [answer.result().status for answer in earlier] == [0] * 4
            assert [answer.result().text for answer in later] == ["mine"] * 8
    assert app.said.count("was ended: too late, or nobody waits") >= 4


def test_the_first_request_after_a_restart_is_answered(
    start_mongrel2: StartMongrel2, start_python: StartPython
) -> None:
    mongrel2 = start_mongrel2()
    start_app(start_python, mongrel2)
    for number in range(5):
        if number % 2:
            mongrel2.kill()
        else:
            mongrel2.stop()
        mongrel2.start()

        assert mongrel2.ask(f"/echo?say={number}", timeout=10).text == str(number)


def test_a_mongrel2_that_waits_to_tell_somebody_of_a_browser_that_left_is_served(
    mongrel2: Mongrel2, start_python: StartPython
) -> None:
    # Given answers to browsers that have gone, from an application that has gone since
    with zmq.Context() as context, context.socket(zmq.XPUB) as application:
        application.connect(mongrel2.pub_addr)
        assert application.poll(10_000)
        ident = application.recv()[1:]
        for number in range(900, 910):
            application.send(b"%s 3:%d, too late" % (ident, number))
        time.sleep(0.5)
    # When
    start_app(start_python, mongrel2)
    # Then
    assert mongrel2.ask("/echo?say=hello").text == "hello"


def test_an_application_that_is_told_to_stop_finishes_what_it_has_in_hand(
    mongrel2: Mongrel2, start_python: StartPython
) -> None:
    app = start_app(start_python, mongrel2)
    with ThreadPoolExecutor() as browsers:
        waiting = browsers.submit(mongrel2.ask, "/echo?say=finished&seconds=2")
        time.sleep(0.5)

        assert app.stop() == 0
        assert waiting.result().text == "finished"


def test_browsers_that_leave_while_the_only_application_stops_hold_up_nobody(
    mongrel2: Mongrel2, start_python: StartPython
) -> None:
    app = start_app(start_python, mongrel2)
    with ThreadPoolExecutor() as browsers:
        waiting = [
            browsers.submit(mongrel2.ask, f"/echo?say={seconds}&seconds={seconds}")
            for seconds in (2, 5, 8)
        ]
        with ExitStack() as others:
            for _ in range(10):
                other = others.enter_context(connection(mongrel2.port))
                other.request("GET", "/echo?seconds=2")
            time.sleep(0.5)
            stopped = browsers.submit(app.stop, seconds=30)
            time.sleep(0.3)

        assert [answer.result().text for answer in waiting] == ["2", "5", "8"]
        assert stopped.result() == 0

        early = browsers.submit(mongrel2.ask, "/echo?say=early")
        time.sleep(0.5)
        start_app(start_python, mongrel2)
        assert early.result().text == "early"

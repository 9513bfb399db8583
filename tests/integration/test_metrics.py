"""The metrics of both shipped programs, behind a real Mongrel2."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.http import ask, connection
from tests.integration.programs import Program, python_program
from tests.integration.real_mongrel2 import Mongrel2, need_mongrel2
from tests.integration.web import request
from tests.metrics import samples, values
from tests.needs import ROOT
from tests.ports import free_port
from tests.waiting import eventually

REQUESTS = "brubeck_http_request_duration_seconds_count"
CALLS = "brubeck_call_duration_seconds_count"
EXECUTIONS = "brubeck_execution_duration_seconds_count"
SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class Running:
    mongrel2: Mongrel2
    service: Program
    address: str
    app_port: int
    """Of the client app's metrics."""
    service_port: int
    """Of the service's."""

    def wait_until(self, port: int, name: str, value: dict[tuple[str, ...], float]) -> None:
        eventually(lambda: values(port, name) == value, f"{name} is {value}", seconds=10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Both programs and Mongrel2; nothing has been counted yet."""
    need_mongrel2()
    (tmp_path / "secret").write_text("only for this test, and long enough")
    address = f"ipc://{tmp_path}/slow"
    ports = free_port(), free_port()
    shared = {
        "SERVICE_PASSPHRASE_FILE": str(tmp_path / "secret"),
        "HEALTH_PORT": "0",
        "SLOW_SECONDS": str(SLOW_SECONDS),
    }
    for name in ("app", "service"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        mongrel2 = stack.enter_context(Mongrel2(tmp_path / "mongrel2"))
        service = stack.enter_context(
            python_program(
                ROOT / "slow-service/app.py",
                tmp_path / "service",
                SERVICE_BIND_ADDR=address,
                METRICS_PORT=str(ports[1]),
                **shared,
            )
        )
        app = stack.enter_context(
            python_program(
                ROOT / "client-app/app.py",
                tmp_path / "app",
                MONGREL2_PULL_ADDR=mongrel2.pull_addr,
                MONGREL2_PUB_ADDR=mongrel2.pub_addr,
                SLOW_SERVICE_ADDR=address,
                COOKIE_SECRET_FILE=str(tmp_path / "secret"),
                METRICS_PORT=str(ports[0]),
                **shared,
            )
        )
        service.wait_until_it_says("listens at")
        app.wait_until_it_says("Mongrel2 listens")
        yield Running(mongrel2, service, address, *ports)


def leave_while_it_waits(mongrel2: Mongrel2, path: str, has_begun: Callable[[], bool]) -> None:
    """Ask for a page, and leave before it comes."""
    with socket.create_connection(("127.0.0.1", mongrel2.port), timeout=10) as browser:
        browser.sendall(request(path))
        eventually(has_begun, f"{path} is under way", seconds=5)


def test_each_request_call_and_execution_is_counted_once(running: Running) -> None:
    mongrel2 = running.mongrel2
    script = [
        *(("GET", "/", 200),) * 3,
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("BREW", "/", 405),
        ("GET", "/no/such/page", 404),
        ("GET", "/service/slow", 404),
        *(("GET", "/service/sync", 200),) * 2,
        ("GET", "/service/async", 200),
    ]

    assert [mongrel2.ask(path, method).status for method, path, _ in script] == [
        status for *_, status in script
    ]

    running.wait_until(running.app_port, CALLS, {("2xx", running.address): 3})
    assert values(running.app_port, REQUESTS) == {
        ("GET", "^/$", "200"): 3,
        ("HEAD", "^/$", "200"): 1,
        ("POST", "^/$", "405"): 1,
        ("other", "^/$", "405"): 1,
        ("GET", "unmatched", "404"): 2,
        ("GET", "^/service/sync$", "200"): 2,
        ("GET", "^/service/async$", "200"): 1,
    }
    assert values(running.service_port, EXECUTIONS) == {("^/service/slow$", "200"): 3}
    for port in (running.app_port, running.service_port):
        assert values(port, "brubeck_abandoned_total") == {}
        assert sum(values(port, "brubeck_dropped_total").values()) == 0
        assert sum(values(port, "brubeck_refused_total").values()) == 0


def test_a_call_that_fails_is_counted_by_its_errors_name(running: Running) -> None:
    running.service.kill()

    assert running.mongrel2.ask("/service/sync").status == 503

    assert values(running.app_port, CALLS) == {("ServiceUnavailable", running.address): 1}
    replicas = values(running.app_port, "brubeck_replicas")
    assert replicas[running.address, "absent"] == 1
    assert sum(replicas.values()) == 1


def test_a_browser_that_left_is_counted_as_such_by_both_programs(running: Running) -> None:
    leave_while_it_waits(
        running.mongrel2,
        "/service/sync",
        lambda: values(running.service_port, "brubeck_in_hand") == {(): 1},
    )

    running.wait_until(running.app_port, "brubeck_abandoned_total", {("^/service/sync$",): 1})
    running.wait_until(running.service_port, "brubeck_abandoned_total", {("^/service/slow$",): 1})
    assert values(running.app_port, CALLS) == {("abandoned", running.address): 1}
    assert values(running.app_port, REQUESTS) == values(running.service_port, EXECUTIONS) == {}


def test_what_is_in_hand_is_shown(running: Running) -> None:
    seen: list[dict[tuple[str, ...], float]] = []

    def look() -> bool:
        names = ("brubeck_in_hand", "brubeck_calls_pending", "brubeck_leases")
        seen[:] = [values(running.app_port, name) for name in names]
        return all(sum(value.values()) == 1 for value in seen)

    leave_while_it_waits(running.mongrel2, "/service/sync", look)

    assert seen == [{(): 1}, {(running.address,): 1}, {(): 1}]
    assert values(running.service_port, "brubeck_sessions") == {(): 1}


def test_an_exemplar_has_the_id_that_the_browser_was_told(running: Running) -> None:
    told = running.mongrel2.ask("/service/sync").request_id

    assert exemplars(running.app_port, "brubeck_http_request_duration_seconds_bucket") == {told}
    assert exemplars(running.app_port, "brubeck_call_duration_seconds_bucket") == {told}
    assert exemplars(running.service_port, "brubeck_execution_duration_seconds_bucket") == {told}


def exemplars(port: int, name: str) -> set[str]:
    """The ids of the requests that the buckets of a histogram name."""
    return {s.exemplar.labels["request_id"] for s in samples(port) if s.name == name and s.exemplar}


def test_a_stream_counts_until_its_beginning_once_it_has_ended(running: Running) -> None:
    with connection(running.mongrel2.port, timeout=20) as browser:
        browser.request("POST", "/live/calls", b"kind=sync", FORM)
        response = browser.getresponse()
        assert values(running.app_port, REQUESTS) == {}
        response.read()

    stream = ("POST", "^/live/calls$", "200")
    running.wait_until(running.app_port, REQUESTS, {stream: 1})
    seconds = values(running.app_port, "brubeck_http_request_duration_seconds_sum")
    assert seconds[stream] < SLOW_SECONDS


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_no_path_makes_a_series(running: Running) -> None:
    running.mongrel2.ask("/nothing")
    before = {(sample.name, *sample.labels.values()) for sample in samples(running.app_port)}

    with connection(running.mongrel2.port) as browser:
        for number in range(1000):
            browser.request("GET", f"/nothing/{number}")
            browser.getresponse().read()

    after = {(sample.name, *sample.labels.values()) for sample in samples(running.app_port)}
    assert after == before
    assert values(running.app_port, REQUESTS) == {("GET", "unmatched", "404"): 1001}


def test_metrics_are_on_their_own_port_alone(running: Running) -> None:
    assert running.mongrel2.ask("/metrics").status == 404
    assert ask(running.app_port, "/").status == 404
    assert ask(running.app_port, "/metrics/").status == 404


def test_a_reader_that_asks_for_plain_text_gets_it(running: Running) -> None:
    answer = ask(running.service_port, "/metrics")

    assert answer.headers.get_content_type() == "text/plain"
    assert 'brubeck_build_info{host="' in answer.text
    assert "\nbrubeck_healthy 1.0\n" in answer.text
    assert "\nprocess_resident_memory_bytes " in answer.text


def test_the_event_loops_lag_is_measured(running: Running) -> None:
    eventually(
        lambda: values(running.service_port, "brubeck_event_loop_lag_seconds_count")[()] >= 3,
        "three measurements",
        seconds=10,
    )


def test_a_port_that_is_taken_ends_the_program_with_a_sentence(
    running: Running, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = python_program(
        ROOT / "slow-service/app.py",
        tmp_path / "second",
        SERVICE_BIND_ADDR=f"ipc://{tmp_path}/second/address",
        SERVICE_PASSPHRASE_FILE=str(tmp_path / "secret"),
        HEALTH_PORT="0",
        METRICS_PORT=str(running.service_port),
    )
    with second:
        eventually(lambda: not second.runs, "its end", seconds=10)
        assert "metrics_port: cannot listen: Address already in use" in second.said

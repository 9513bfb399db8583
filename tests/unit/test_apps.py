"""The two applications of the demonstration, without sockets."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

import importlib.util
import json
import logging
import re
import socket
import sys
from collections.abc import Callable, Generator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from brubeck.application import Brubeck
from brubeck.response import Response
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
    ServiceUnavailable,
)
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.testing import call_service, call_web, stand_in
from tests.needs import ROOT

SERVICE = "tcp://slow-service:9000"

LoadApp = Callable[..., Brubeck]


@pytest.fixture
def load_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoadApp:
    """Loads the application in a folder as a start with these environment variables does."""
    secret = tmp_path / "secret"
    secret.write_text("a secret of this test only\n")
    environment = {
        "MONGREL2_PULL_ADDR": "tcp://mongrel2:9999",
        "MONGREL2_PUB_ADDR": "tcp://mongrel2:9998",
        "SLOW_SERVICE_ADDR": SERVICE,
        "SERVICE_BIND_ADDR": "tcp://0.0.0.0:9000",
        "SERVICE_PASSPHRASE_FILE": str(secret),
        "COOKIE_SECRET_FILE": str(secret),
        "SLOW_SECONDS": "0",
    }

    def load(folder: str, **settings: str) -> Brubeck:
        for name, value in (environment | settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(ROOT / folder)
        for module in (ROOT / folder).glob("*.py"):
            monkeypatch.delitem(sys.modules, module.stem, raising=False)
        spec = importlib.util.spec_from_file_location(folder, ROOT / folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        app = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, folder, app)
        spec.loader.exec_module(app)
        application: Brubeck = app.app
        return application

    return load


@pytest.fixture
def service(load_app: LoadApp) -> Brubeck:
    return load_app("slow-service")


@pytest.fixture
def site(load_app: LoadApp) -> Brubeck:
    return load_app("client-app")


def text_of(response: Response) -> str:
    return unescape(response.body.decode())


# The service


@pytest.mark.parametrize(
    ("arguments", "returned"), [({"RETURN_DATA": "grün"}, "grün"), ({}, "NO DATA")]
)
def test_the_service_returns_what_it_is_given(
    service: Brubeck, arguments: dict[str, Any], returned: str
) -> None:
    response = call_service(service, "/service/slow", arguments=arguments)
    assert (response.status_code, response.status_msg) == (200, "Took a while, but I am back.")
    assert response.get_argument("RETURN_DATA") == returned
    assert response.get_argument("SERVED_BY")
    assert response.headers == {"METHOD": "response"}


def test_the_service_counts_primes(service: Brubeck, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LIMIT", 100), ("STEP", 20)):
        monkeypatch.setattr(f"slow-service.CountPrimes.{name}", value)

    response = call_service(service, "/service/primes")

    assert response.get_argument("COUNT") == 25


def test_a_count_that_nobody_waits_for_is_given_up_and_not_given_out(
    service: Brubeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slow-service.CountPrimes.seconds_left", 0.0)

    response = call_service(service, "/service/primes")

    assert response.status_code == 504
    assert "COUNT" not in response.body


def test_the_service_has_two_paths_and_one_method(service: Brubeck) -> None:
    assert call_service(service, "/service/sl").status_code == 404
    assert call_service(service, "/service/slow", "put").status_code == 405
    assert call_web(service, "GET", "/service/slow").status_code == 404


# The pages


def test_the_front_page_leads_to_both_calls(site: Brubeck) -> None:
    response = call_web(site, "GET", "/")
    assert response.status_code == 200
    assert 'href="/service/sync"' in text_of(response)
    assert 'href="/service/async"' in text_of(response)
    assert 'href="/live"' in text_of(response)


def test_the_page_that_waits_shows_what_came_back(site: Brubeck, service: Brubeck) -> None:
    with stand_in(site, SERVICE, service) as asked:
        response = call_web(site, "GET", "/service/sync")

    assert response.status_code == 200
    assert "I made a round trip, it took a while but I bring results." in text_of(response)
    assert asked.requests[0].request_id in text_of(response)


def test_the_page_that_does_not_wait_says_so_and_the_response_is_handled(
    site: Brubeck, service: Brubeck, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "client_app")
    with stand_in(site, SERVICE, service) as asked:
        response = call_web(site, "GET", "/service/async")

    assert response.status_code == 200
    assert "Async is faster, but ... nothing to report on my trip." in text_of(response)
    (record,) = caplog.records
    assert record.getMessage() == (
        "the response arrived: 200 Took a while, but I am back.: "
        "I made a round trip, it took so long I will respond to no one."
    )
    assert vars(record)["request_id"] == asked.requests[0].request_id


FAILURES = [
    (ServiceUnavailable("nobody there"), 503),
    (ServiceRefused("overloaded"), 503),
    (ServiceTimeout("too late"), 504),
    (ServiceLost("the replica died"), 502),
    (ServiceAuthError("another passphrase"), 502),
    (ServiceProtocolError("nonsense"), 502),
]


@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=repr)
def test_a_call_that_fails_is_a_page_with_its_status(
    site: Brubeck, failure: ServiceError, status: int
) -> None:
    with stand_in(site, SERVICE, failure):
        response = call_web(site, "GET", "/service/sync")

    assert response.status_code == status
    assert str(status) in text_of(response)
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=repr)
def test_the_handler_for_responses_is_told_of_a_call_that_failed(
    site: Brubeck, failure: ServiceError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "client_app")
    with stand_in(site, SERVICE, failure):
        assert call_web(site, "GET", "/service/async").status_code == 200

    told = [record.getMessage() for record in caplog.records if record.name == "client_app"]
    assert told == [f"the response arrived: {status} {failure}: None"]


def test_an_error_that_the_service_answers_is_a_page_with_its_status(site: Brubeck) -> None:
    with stand_in(site, SERVICE, lambda request: request.error_reply(418)):
        response = call_web(site, "GET", "/service/sync")
    assert response.status_code == 418


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/service/sync", 405)]
)
def test_other_errors_have_the_sites_page_too(
    site: Brubeck, method: str, path: str, status: int
) -> None:
    response = call_web(site, method, path)
    assert response.status_code == status
    assert "Content-Security-Policy" in response.headers
    assert "stylesheet" in text_of(response)


# The live page


def events_of(response: Response) -> list[dict[str, Any]]:
    """What a stream of events tells."""
    assert response.pieces is not None
    stream = b"".join(piece for piece in response.pieces if isinstance(piece, bytes))
    return [json.loads(data) for data in re.findall(rb"^data: (.*)$", stream, re.M)]


def lives_of_calls(site: Brubeck, form: str) -> dict[str, list[str]]:
    """The states of each call that a form asks for, in their order."""
    response = call_web(site, "POST", "/live/calls", body=form.encode(), headers=FORM)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    lives: dict[str, list[str]] = {}
    for event in events_of(response):
        lives.setdefault(event["id"], []).append(event["state"])
    return lives


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("kind", ["sync", "async", "cpu"])
def test_the_live_page_is_told_the_life_of_each_call(
    site: Brubeck, service: Brubeck, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.PRIMES_PATH", "/service/slow")  # computing takes seconds
    with stand_in(site, SERVICE, service) as asked:
        lives = lives_of_calls(site, f"kind={kind}&count=3")

    assert [(states[0], states[-1]) for states in lives.values()] == [("waiting", "done")] * 3
    assert list(lives) == [request.request_id for request in asked.requests]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=repr)
def test_the_live_page_is_told_how_a_call_failed(
    site: Brubeck, failure: ServiceError, status: int, kind: str
) -> None:
    with stand_in(site, SERVICE, failure):
        (states,) = lives_of_calls(site, f"kind={kind}").values()

    assert states[-1] == {502: "lost", 503: "refused", 504: "late"}[status]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_live_page_is_told_that_the_services_handler_failed(site: Brubeck, kind: str) -> None:
    with stand_in(site, SERVICE, lambda request: request.error_reply(418)):
        (states,) = lives_of_calls(site, f"kind={kind}").values()

    assert states[-1] == "failed"


def test_the_live_page_is_told_of_a_mistake_too(site: Brubeck) -> None:
    def has_a_mistake(_: ServiceRequest) -> ServiceResponse:
        raise KeyError("a mistake")

    with stand_in(site, SERVICE, has_a_mistake):
        (states,) = lives_of_calls(site, "kind=sync").values()

    assert states[-1] == "failed"


@pytest.mark.parametrize(
    "form", ["", "kind=x", "kind=sync&count=0", "kind=sync&count=21", "kind=sync&count=x"]
)
def test_other_calls_are_not_made(site: Brubeck, service: Brubeck, form: str) -> None:
    with stand_in(site, SERVICE, service) as asked:
        response = call_web(site, "POST", "/live/calls", body=form.encode(), headers=FORM)

    assert response.status_code == 400
    assert asked.requests == []


def test_no_more_calls_are_followed_than_a_process_can(
    site: Brubeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.MAX_FOLLOWED", 2)

    response = call_web(site, "POST", "/live/calls", body=b"kind=sync&count=3", headers=FORM)

    assert response.status_code == 503


def test_nothing_is_kept_of_calls_whose_viewer_has_gone(site: Brubeck) -> None:
    response = call_web(site, "POST", "/live/calls", body=b"kind=sync&count=3", headers=FORM)
    stream = response.pieces
    assert isinstance(stream, Generator)
    next(stream)
    assert len(sys.modules["followed"].followed) == 3

    stream.close()

    assert sys.modules["followed"].followed == {}


def test_the_live_page_is_told_how_the_replicas_are(site: Brubeck, service: Brubeck) -> None:
    with stand_in(site, SERVICE, service):
        response = call_web(site, "GET", "/live/deployment")
        assert isinstance(response.pieces, Generator)
        event, data, *_ = next(response.pieces).split(b"\n")
        site.msg_conn.stop()
        ended = next(response.pieces, "the end")

    assert event == b"event: deployment"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "client_app": socket.gethostname(),
        "replicas": [{"endpoint": "stand-in", "name": "stand-in", "state": "ready", "load": 0}],
    }
    assert ended == "the end", "it holds up the end of the process"


def test_no_more_pages_are_told_than_a_process_can(
    site: Brubeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.MAX_VIEWERS", 0)

    assert call_web(site, "GET", "/live/deployment").status_code == 503


def test_the_live_page_runs_the_scripts_of_this_site_only(site: Brubeck) -> None:
    response = call_web(site, "GET", "/live")

    assert "script-src 'self';" in response.headers["Content-Security-Policy"]
    assert not re.findall(r"<script(?! src=\"/static/)|\son\w+=|\sstyle=", text_of(response))


# How the process is


def test_the_process_is_alive_whatever_the_service_does(site: Brubeck) -> None:
    with stand_in(site, SERVICE, ServiceUnavailable("nobody there")):
        response = call_web(site, "GET", "/healthz")
    assert (response.status_code, response.body) == (200, b"ok\n")


def test_it_is_ready_when_a_call_would_be_taken(site: Brubeck, service: Brubeck) -> None:
    with stand_in(site, SERVICE, service):
        response = call_web(site, "GET", "/readyz")
    assert (response.status_code, response.body) == (200, b"ok\n")


def test_it_is_not_ready_when_no_call_would_be_taken(site: Brubeck) -> None:
    with stand_in(site, SERVICE, ServiceUnavailable("nobody there")):
        response = call_web(site, "GET", "/readyz")
    assert (response.status_code, response.body) == (503, b"not ready: ServiceUnavailable\n")


# Files, where there is no Mongrel2


@pytest.mark.parametrize(
    "file", sorted((ROOT / "mongrel2" / "static").iterdir()), ids=lambda f: f.name
)
def test_every_static_file_is_served(site: Brubeck, file: Path) -> None:
    response = call_web(site, "GET", f"/static/{file.name}")
    assert (response.status_code, response.body) == (200, file.read_bytes())
    assert response.headers["Content-Type"] != "application/octet-stream"


@pytest.mark.parametrize("name", ["missing.css", "../mongrel2.conf", "..%2fmongrel2.conf", "", "."])
def test_nothing_else_is_served(site: Brubeck, name: str) -> None:
    assert call_web(site, "GET", f"/static/{name}").status_code == 404


# Settings


@pytest.mark.parametrize(
    ("folder", "setting", "value"),
    [
        ("client-app", "SLOW_SERVICE_ADDR", "slow-service:9000"),
        ("client-app", "MONGREL2_PULL_ADDR", ""),
        ("client-app", "COOKIE_SECRET_FILE", "/no/such/file"),
        ("client-app", "SERVICE_TIMEOUT", "soon"),
        ("client-app", "LOG_LEVEL", "LOUD"),
        ("client-app", "SLOW_SERVICE_ADDR", "tcp://slow..service:9000"),
        ("client-app", "HEALTH_PORT", "70000"),
        ("client-app", "METRICS_PORT", "70000"),
        ("client-app", "WSGI_PORT", "-1"),
        ("client-app", "WSGI_PORT", "70000"),
        ("slow-service", "SERVICE_BIND_ADDR", "tcp://0.0.0.0"),
        ("slow-service", "SERVICE_PASSPHRASE_FILE", ""),
        ("slow-service", "SERVICE_MAX_IN_FLIGHT", "0"),
        ("slow-service", "SLOW_SECONDS", "inf"),
        ("slow-service", "HEALTH_PORT", "70000"),
        ("slow-service", "METRICS_PORT", "70000"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(
    load_app: LoadApp, folder: str, setting: str, value: str
) -> None:
    with pytest.raises(SystemExit, match=f"^{setting}"):
        load_app(folder, **{setting: value})

"""The two applications of the demonstration, without sockets."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

import importlib.util
import logging
from collections.abc import Callable
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
        spec = importlib.util.spec_from_file_location(folder, ROOT / folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        application: Brubeck = module.app
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


def test_the_service_has_one_path_and_one_method(service: Brubeck) -> None:
    assert call_service(service, "/service/sl").status_code == 404
    assert call_service(service, "/service/slow", "put").status_code == 405
    assert call_web(service, "GET", "/service/slow").status_code == 404


# The pages


def test_the_front_page_leads_to_both_calls(site: Brubeck) -> None:
    response = call_web(site, "GET", "/")
    assert response.status_code == 200
    assert 'href="/service/sync"' in text_of(response)
    assert 'href="/service/async"' in text_of(response)


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
        ("client-app", "WSGI_PORT", "-1"),
        ("slow-service", "SERVICE_BIND_ADDR", "tcp://0.0.0.0"),
        ("slow-service", "SERVICE_PASSPHRASE_FILE", ""),
        ("slow-service", "SERVICE_MAX_IN_FLIGHT", "0"),
        ("slow-service", "SLOW_SECONDS", "inf"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(
    load_app: LoadApp, folder: str, setting: str, value: str
) -> None:
    with pytest.raises(SystemExit, match=f"^{setting}"):
        load_app(folder, **{setting: value})

"""The deployment that the tests share, built and started once and gone at the end."""

import os
import sys
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser

from tests.containers import add_logs, docker_answers
from tests.e2e.browser import Reader, chromium_at
from tests.e2e.deployment import Deployment
from tests.needs import ROOT, need, program
from tests.ports import free_port

SHARED = pytest.StashKey[Deployment]()


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The deployment, for tests that leave it as they found it."""
    assert "gevent" not in sys.modules, "run these tests by themselves: scripts/test e2e"
    need(docker_answers(), "a Docker engine with Compose")
    environment = {
        "COMPOSE_PROJECT_NAME": f"brubeck-e2e-{os.getpid()}",
        "TAG": f"e2e-{os.getpid()}",
        "PUBLISH_ADDRESS": "127.0.0.1",
        "PORT": str(free_port()),
        "LOG_LEVEL": "DEBUG",
        "SLOW_SECONDS": os.environ.get("SLOW_SECONDS", "5"),
    }
    with pytest.MonkeyPatch.context() as shell:
        for name, value in environment.items():
            shell.setenv(name, value)
        deployment = Deployment(ROOT, environment)
        try:
            _bring_up(deployment, request)
            yield deployment
        finally:
            deployment.remove()


def _bring_up(deployment: Deployment, request: pytest.FixtureRequest) -> None:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            deployment.build()
        deployment.start()
    except Exception:
        request.session.shouldfail = "there is nothing to test without the deployment"
        raise
    request.config.stash[SHARED] = deployment


@pytest.fixture
def deployment_to_break(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, for tests that break something: it is repaired after each."""
    yield deployment
    deployment.repair()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium."""
    path = program("chromium")
    need(path, "Chromium")
    assert path
    with chromium_at(path) as browser:
        yield browser


@pytest.fixture
def reader(chromium: Browser, deployment: Deployment) -> Iterator[Reader]:
    """Somebody who opens pages."""
    reader = Reader(chromium, deployment.port)
    yield reader
    reader.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(report, call, item.config.stash.get(SHARED, None))
    return report

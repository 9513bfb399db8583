"""The system that the tests break, built and started once and gone at the end."""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.chaos.system import System, running_system
from tests.containers import add_logs, docker_answers
from tests.needs import need, program

SYSTEM = pytest.StashKey[System]()


@pytest.fixture(scope="session")
def _system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    assert "gevent" not in sys.modules, "run these tests by themselves: scripts/test chaos"
    need(docker_answers(), "a Docker engine with Compose")
    tools = all(map(program, ("nsenter", "iptables", "ss", "tc")))
    need(os.geteuid() == 0 and tools, "root, with nsenter, iptables, ss and tc")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with ExitStack() as stack:
        with capture.global_and_fixture_disabled():  # the building shows its progress
            system = stack.enter_context(running_system(tmp_path_factory.mktemp("ledger")))
        request.config.stash[SYSTEM] = system
        yield system


@pytest.fixture
def system(_system: System) -> Iterator[System]:
    """Two of each Python program behind one Mongrel2; what a test broke is repaired after it."""
    yield _system
    _system.repair()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(report, call, item.config.stash.get(SYSTEM, None))
    return report

"""The Swarm that the tests share: three machines, started once and gone at the end."""

import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.containers import add_logs, docker_answers
from tests.needs import ROOT, need
from tests.swarm.cluster import Cluster, running_cluster
from tests.swarm.report import Row, report

CLUSTER = pytest.StashKey[Cluster]()
REPORT = ROOT / "artifacts/swarm/report.md"


@pytest.fixture(scope="session")
def _cluster(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, list[Row]]]:
    assert "gevent" not in sys.modules, "run these tests by themselves: scripts/test swarm"
    need(docker_answers(), "a Docker engine with Compose")
    rows: list[Row] = []
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(running_cluster())
        except Exception:
            request.session.shouldfail = "there is nothing to test without the Swarm"
            raise
        request.config.stash[CLUSTER] = cluster
        yield cluster, rows
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(report(rows, cluster.who_runs_where()))


@pytest.fixture
def cluster(
    _cluster: tuple[Cluster, list[Row]], request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """Mongrel2 on one machine, two of each Python program on two more; repaired after each test."""
    cluster, rows = _cluster
    cluster.loads.clear()
    yield cluster
    entries = [entry for load in cluster.loads for entry in load.entries]
    if entries:
        rows.append(Row(request.node.name, entries, cluster.executions(entries)))
    cluster.repair()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(report, call, item.config.stash.get(CLUSTER, None))
    return report

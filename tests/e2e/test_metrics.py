"""A real Prometheus beside the deployment: what it finds, counts and raises an alarm about."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.deployment import Deployment, docker
from tests.e2e.prometheus import Prometheus
from tests.http import ask
from tests.needs import ROOT
from tests.waiting import eventually

TWO_OF_EACH = ("--scale", "client-app=2", "--scale", "slow-service=2")
REQUESTS = 12


@pytest.fixture(scope="module")
def prometheus(deployment: Deployment) -> Iterator[Prometheus]:
    """Prometheus beside two of each."""
    prometheus = Prometheus(deployment)
    try:
        prometheus.start(*TWO_OF_EACH)
        prometheus.wait_for_targets(client_app=2, slow_service=2)
        yield prometheus
    finally:
        prometheus.remove()
        deployment.repair()


def test_promtool_finds_the_configuration_right_and_the_alerts_as_tested(
    prometheus: Prometheus,
) -> None:
    where = ("--workdir", "/etc/prometheus", "--env", "TMPDIR=/prometheus")
    promtool = ("exec", "--no-TTY", *where, "prometheus", "promtool")

    assert "SUCCESS" in prometheus.compose(*promtool, "check", "config", "prometheus.yml")
    assert "SUCCESS" in prometheus.compose(*promtool, "test", "rules", "alerts_test.yml")


def test_it_may_do_as_little_as_the_others_and_is_published_on_this_machine_alone(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    facts = prometheus.container().facts
    ports = facts["NetworkSettings"]["Ports"]
    networks = {f"{deployment.project}_{name}" for name in ("watch", "back")}

    assert facts["Config"]["User"] == "10001:10001"
    assert facts["HostConfig"]["ReadonlyRootfs"] is True
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert facts["HostConfig"]["Memory"] > 0
    assert facts["NetworkSettings"]["Networks"].keys() == networks
    assert ports == {"9090/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(prometheus.port)}]}


def test_metrics_are_not_to_be_had_through_mongrel2(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    assert deployment.ask("/metrics").status == 404


def test_the_page_that_the_docs_name_shows_the_alerts(prometheus: Prometheus) -> None:
    docs = (ROOT / "docs/operations.md").read_text()
    [page] = re.findall(r"<http://127\.0\.0\.1:9090(/[a-z/]+)>", docs)

    shown = ask(prometheus.port, page, timeout=10).text

    alerts = re.findall(r"alert: (\w+)", (ROOT / "prometheus/alerts.yml").read_text())
    assert [alert for alert in alerts if alert not in shown] == []


def test_it_counts_each_request_call_and_execution_once(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    answers = [call.result() for call in deployment.asking("/service/sync", times=REQUESTS)]

    assert [answer.status for answer in answers] == [200] * REQUESTS
    for series in (
        'brubeck_http_request_duration_seconds_count{pattern="^/service/sync$",status="200"}',
        'brubeck_call_duration_seconds_count{outcome="2xx"}',
        'brubeck_execution_duration_seconds_count{pattern="^/service/slow$",status="200"}',
    ):
        prometheus.wait_for_value(f"sum({series})", REQUESTS)
    assert prometheus.value("count(brubeck_replicas{state='ready'} == 2)") == 2
    ids = prometheus.exemplars("brubeck_execution_duration_seconds_bucket")
    assert ids
    assert ids <= {answer.request_id for answer in answers}


def test_it_finds_a_replica_that_comes_later(prometheus: Prometheus) -> None:
    prometheus.up(*TWO_OF_EACH[:2], "--scale", "slow-service=3")

    prometheus.wait_for_targets(client_app=2, slow_service=3, seconds=60)
    assert prometheus.firing() == set()

    prometheus.up(*TWO_OF_EACH)
    prometheus.wait_for_targets(client_app=2, slow_service=2, seconds=60)


def test_a_frozen_replica_raises_an_alarm_until_it_goes_on(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    frozen = deployment.containers("slow-service")[0].id
    assert prometheus.firing() == set()

    docker("pause", frozen)
    try:
        eventually(lambda: prometheus.firing() == {"ReplicaNotAnswering"}, "the alarm", seconds=60)
        assert deployment.ask("/").status == 200
    finally:
        docker("unpause", frozen)

    eventually(lambda: prometheus.firing() == set(), "the end of the alarm", seconds=60)
    prometheus.wait_for_targets(client_app=2, slow_service=2)


def test_a_mongrel2_that_has_gone_raises_an_alarm_until_it_is_back(
    prometheus: Prometheus, deployment: Deployment
) -> None:
    assert prometheus.firing() == set()

    deployment.compose("stop", "mongrel2")
    try:
        eventually(lambda: prometheus.firing() == {"Unhealthy"}, "the alarm", seconds=90)
    finally:
        deployment.compose("start", "mongrel2")

    deployment.wait_until_ready()
    eventually(lambda: prometheus.firing() == set(), "the end of the alarm", seconds=60)

"""Several machines: the stack of deploy/swarm while it is scaled, upgraded, drained and killed."""

import json
import time
from collections.abc import Sequence

from tests.chaos.ledger import Entry
from tests.chaos.load import outcomes
from tests.swarm.cluster import REPLICAS, Cluster, run
from tests.waiting import eventually

NODE_LOSS_TOLD = 6.0
"""Seconds until a call in hand on a machine that died has ended: three of silence, and its own."""


def test_mongrel2_is_on_a_machine_of_its_own_and_the_page_works_across_machines(
    cluster: Cluster,
) -> None:
    assert cluster.nodes_of("mongrel2") == [cluster.manager]
    assert cluster.nodes_of("client-app") == cluster.workers
    assert cluster.nodes_of("slow-service") == cluster.workers
    answer = cluster.ask("/service/sync")
    assert answer.status == 200
    assert "it took a while but I bring results" in answer.text


def test_each_container_has_the_bounds_that_compose_yaml_sets(cluster: Cluster) -> None:
    said = json.loads(run("docker", "compose", "config", "--format", "json"))["services"]
    for service in REPLICAS:
        for node in cluster.nodes_of(service):
            [container] = cluster.containers(node, service)
            [facts] = json.loads(cluster.docker("inspect", container, node=node))
            bounds = facts["HostConfig"]
            assert bounds["Memory"] == int(said[service]["mem_limit"])
            assert bounds["NanoCpus"] == said[service]["cpus"] * 1e9
            assert bounds["PidsLimit"] == said[service]["pids_limit"]
            assert bounds["CapDrop"] == ["ALL"]
            assert bounds["ReadonlyRootfs"]
            assert bounds["Init"]
            assert facts["Config"]["User"] == "10001:10001"


def test_a_client_app_calls_a_service_on_another_machine(cluster: Cluster) -> None:
    cluster.scale("slow-service", 1)
    [with_the_service] = cluster.nodes_of("slow-service")
    with cluster.load() as load:
        time.sleep(3)

    assert with_the_service in cluster.workers
    assert len(cluster.states()) == 2, "one of the client apps got no requests"
    assert cluster.nodes_of("client-app") == cluster.workers
    _assert_each_was_answered_and_executed_once(cluster, load.entries)


def test_new_replicas_on_every_machine_get_work_and_no_call_fails_while_they_come(
    cluster: Cluster,
) -> None:
    cluster.scale("slow-service", 1)
    with cluster.load(rate=30, seconds=0.3) as load:
        time.sleep(2)
        cluster.scale("slow-service", 6)
        scaled = time.time()
        eventually(
            lambda: all(len(cluster.executed_at(n, since=scaled)) == 3 for n in cluster.workers),
            "each of the six has work",
            seconds=20,
        )

    _assert_each_was_answered_and_executed_once(cluster, load.entries)


def test_an_upgrade_of_the_service_loses_no_call_and_executes_none_twice(cluster: Cluster) -> None:
    entries = _upgrade_to_a_later_version_under_load(cluster, "slow-service")
    _assert_each_was_answered_and_executed_once(cluster, entries)


def test_an_upgrade_of_the_client_app_loses_one_request_at_most(cluster: Cluster) -> None:
    entries = _upgrade_to_a_later_version_under_load(cluster, "client-app")
    _assert_one_was_lost_at_most(cluster, entries)


def _upgrade_to_a_later_version_under_load(cluster: Cluster, service: str) -> Sequence[Entry]:
    """Old and new ones work side by side meanwhile; the new ones are of a later version."""
    release = cluster.make_release(service, "ENV LATER_VERSION=2")
    with cluster.load(rate=30, seconds=0.3) as load:
        time.sleep(2)
        cluster.deploy(release)
        time.sleep(3)

    assert cluster.update_of(service) == "completed"
    new = cluster.image(service, release)
    assert [task.image for task in cluster.running(service)] == [new, new]
    return load.entries


def test_an_upgrade_to_an_image_that_does_not_start_is_taken_back_and_nobody_notices(
    cluster: Cluster,
) -> None:
    good = cluster.image("slow-service")
    broken = cluster.make_release("slow-service", "ENV PYTHONPATH=/nowhere")
    with cluster.load(rate=30, seconds=0.3) as load:
        try:
            cluster.deploy(broken)
        except AssertionError as failure:
            told = str(failure)
        else:
            told = ""
        eventually(
            lambda: cluster.update_of("slow-service") == "rollback_completed",
            "the rollback",
            seconds=60,
        )

    assert "not all of it runs as it should" in told
    assert [task.image for task in cluster.running("slow-service")] == [good, good]
    _assert_each_was_answered_and_executed_once(cluster, load.entries)


def test_one_request_at_most_is_lost_while_a_machine_is_drained(cluster: Cluster) -> None:
    drained, other = cluster.workers
    with cluster.load(rate=30, seconds=0.3) as load:
        time.sleep(2)
        assert cluster.containers(drained, "slow-service")
        assert cluster.containers(drained, "client-app")
        cluster.drain(drained)
        eventually(
            lambda: all(cluster.nodes_of(s) == [other] * 2 for s in ("slow-service", "client-app")),
            "all run elsewhere",
            seconds=60,
        )
        time.sleep(3)

    _assert_one_was_lost_at_most(cluster, load.entries)


def test_when_mongrel2s_machine_is_drained_browsers_are_refused_until_it_is_back(
    cluster: Cluster,
) -> None:
    cluster.drain(cluster.manager)
    assert cluster.ask("/service/sync").status == 0
    assert cluster.nodes_of("mongrel2") == [], "no other machine has the label edge"

    cluster.docker("node", "update", "--availability", "active", cluster.manager)
    eventually(
        lambda: cluster.ask("/service/sync").status == 200, "a page is served again", seconds=60
    )


def test_when_a_machine_dies_calls_in_hand_there_are_lost_and_all_others_answered(
    cluster: Cluster,
) -> None:
    cluster.scale("client-app", 1)
    [with_the_callers] = cluster.nodes_of("client-app")
    [victim] = [node for node in cluster.workers if node != with_the_callers]
    with cluster.load(seconds=1.0, idempotent_every=2, timeout=10) as load:
        eventually(lambda: cluster.executed_at(victim, since=0), "work in hand", seconds=10)
        time.sleep(2)
        before, killed = cluster.kill(victim)
        eventually(lambda: cluster.state_of(victim) == "down", "its end is noticed", seconds=60)
        eventually(
            lambda: cluster.nodes_of("slow-service") == [with_the_callers] * 2,
            "its replica runs elsewhere",
            seconds=60,
        )
        replaced = time.time()
        eventually(
            lambda: len(cluster.executed_at(with_the_callers, since=replaced)) == 2,
            "the new one has work",
            seconds=20,
        )
        cluster.bring_back(victim)

    hurt = [entry for entry in load.entries if entry.outcome != "answered"]
    assert hurt, "nothing was in hand there"
    assert {entry.outcome for entry in hurt} == {"ServiceLost"}, [
        (round(e.issued - killed, 2), round(e.ended - killed, 2), e.outcome) for e in hurt
    ]
    assert not any(entry.idempotent for entry in hurt), "those are tried again"
    assert all(before - 1.5 < entry.issued < killed + NODE_LOSS_TOLD for entry in hurt), hurt
    assert all(entry.ended < killed + NODE_LOSS_TOLD for entry in hurt), hurt
    assert cluster.disagreements(load.entries) == []


def test_a_new_passphrase_comes_into_use_without_a_failed_call(cluster: Cluster) -> None:
    before = cluster.secret_of("slow-service")
    with cluster.load(rate=30, seconds=0.3) as load:
        cluster.stack("rotate")
        time.sleep(3)

    assert cluster.secret_of("slow-service") == cluster.secret_of("client-app") != before
    assert before not in cluster.docker("secret", "ls").split(), "the old one is still there"
    _assert_one_was_lost_at_most(cluster, load.entries)


def _assert_each_was_answered_and_executed_once(cluster: Cluster, entries: Sequence[Entry]) -> None:
    assert outcomes(entries).keys() == {"answered"}, outcomes(entries)
    assert len(cluster.executions(entries)) == len(entries)
    assert cluster.disagreements(entries) == []


def _assert_one_was_lost_at_most(cluster: Cluster, entries: Sequence[Entry]) -> None:
    """Where client apps stop: Mongrel2 may hand one a request as it leaves."""
    counts = outcomes(entries)
    assert counts.pop("cut", 0) <= 1
    assert counts.keys() == {"answered"}, counts
    assert cluster.disagreements(entries) == []

"""The deployment as a user gets it from `docker compose up`."""

import json
import re
import time
from html import unescape

import pytest

from tests.e2e.deployment import Container, Deployment, docker
from tests.waiting import eventually

SYNC_TEXT = "I made a round trip, it took a while but I bring results."
ASYNC_TEXT = "I made a round trip, it took so long I will respond to no one."

SERVICES = ("mongrel2", "client-app", "slow-service")

ADDRESS = "tcp://slow-service:9000"

PYTHON_SERVICES = ("client-app", "slow-service")


@pytest.fixture(params=SERVICES)
def container(request: pytest.FixtureRequest, deployment: Deployment) -> Container:
    """The only container of a service."""
    (container,) = deployment.containers(request.param)
    return container


def test_every_container_becomes_healthy(deployment: Deployment) -> None:
    states = {c.service: c.state for c in deployment.containers(everything=True)}

    assert states == dict.fromkeys(SERVICES, "healthy") | {"secrets": "exited 0"}


# What browsers get


def test_the_front_page_has_the_two_links(deployment: Deployment) -> None:
    answer = deployment.ask("/")

    assert answer.status == 200
    assert 'href="/service/sync"' in answer.text
    assert 'href="/service/async"' in answer.text


def test_a_synchronous_call_brings_the_text_back_and_every_hop_logs_its_request_id(
    deployment: Deployment,
) -> None:
    answer = deployment.ask("/service/sync")

    assert answer.status == 200
    assert answer.seconds >= deployment.slow_seconds
    assert SYNC_TEXT in unescape(answer.text)
    for service in PYTHON_SERVICES:
        assert deployment.log(service).about(answer.request_id), f"{service} logs no line about it"


def test_an_asynchronous_call_answers_at_once_and_its_response_arrives_later(
    deployment: Deployment,
) -> None:
    answer = deployment.ask("/service/async")

    assert answer.status == 200
    assert answer.seconds < deployment.slow_seconds / 2
    assert not _response_arrived(deployment, answer.request_id)
    eventually(
        lambda: _response_arrived(deployment, answer.request_id),
        "the log line of the response",
        seconds=deployment.slow_seconds + 10,
    )
    assert deployment.log("slow-service").about(answer.request_id)


def _response_arrived(deployment: Deployment, request_id: str) -> bool:
    return any(ASYNC_TEXT in line for line in deployment.log("client-app").about(request_id))


def test_an_unknown_path_is_404_with_a_page(deployment: Deployment) -> None:
    answer = deployment.ask("/no/such/page")

    assert answer.status == 404
    assert answer.headers.get_content_type() == "text/html"
    assert 'href="/"' in answer.text


def test_a_path_where_only_responses_are_routed_is_404(deployment: Deployment) -> None:
    assert deployment.ask("/service/slow").status == 404


def test_a_method_that_a_page_lacks_is_405_and_names_those_it_has(deployment: Deployment) -> None:
    answer = deployment.ask("/", "POST")

    assert answer.status == 405
    assert set(re.split(r",\s*", answer.headers["Allow"])) >= {"GET", "HEAD"}


def test_head_tells_the_length_and_sends_no_body(deployment: Deployment) -> None:
    page = deployment.ask("/")
    answer = deployment.ask("/", "HEAD")

    assert answer.status == 200
    assert answer.headers["Content-Length"] == page.headers["Content-Length"]
    assert answer.text == ""


def test_it_says_that_it_is_alive_and_ready(deployment: Deployment) -> None:
    assert deployment.ask("/healthz").status == 200
    assert deployment.ask("/readyz").status == 200


def test_the_command_line_in_a_container_shows_the_replicas_and_calls_them(
    deployment: Deployment,
) -> None:
    command = ("exec", "--no-TTY", "client-app", "brubeck-service")
    (replica,) = deployment.containers("slow-service")

    _, line = deployment.compose(*command, "ping", ADDRESS).splitlines()
    answer = deployment.compose(*command, "call", ADDRESS, "/service/slow", "RETURN_DATA=hello")

    host = replica.facts["Config"]["Hostname"]
    assert " ready " in line
    assert f" {host}-" in line
    assert json.loads(answer) == {"RETURN_DATA": "hello", "SERVED_BY": host}


def test_mongrel2_serves_style_sheet_and_icon_also_without_the_app(
    deployment_to_break: Deployment,
) -> None:
    deployment_to_break.compose("stop", "--timeout", "30", "client-app")

    style, icon = (deployment_to_break.ask(f"/static/{n}") for n in ("style.css", "icon.svg"))

    assert (style.status, style.headers.get_content_type()) == (200, "text/css")
    assert (icon.status, icon.headers.get_content_type()) == (200, "image/svg+xml")


def test_300_browsers_that_call_at_once_are_all_answered_and_the_front_page_meanwhile(
    deployment: Deployment,
) -> None:
    started = time.monotonic()
    calls = deployment.asking("/service/sync", times=300)
    pages = [deployment.ask("/") for _ in range(5)]
    calls_done_meanwhile = sum(call.done() for call in calls)
    answers = [call.result() for call in calls]
    seconds = time.monotonic() - started

    assert [page.status for page in pages] == [200] * 5
    assert calls_done_meanwhile == 0
    assert [answer.status for answer in answers] == [200] * 300
    assert len({answer.request_id for answer in answers}) == 300
    assert seconds <= 1.5 * deployment.slow_seconds + 2


# What containers may do


def test_a_container_runs_as_nobody_in_particular_on_a_read_only_disk(container: Container) -> None:
    assert container.facts["Config"]["User"] == "10001:10001"
    assert container.facts["HostConfig"]["ReadonlyRootfs"] is True
    assert container.facts["HostConfig"]["Privileged"] is False


def test_a_container_has_no_capabilities_and_gets_none(container: Container) -> None:
    host = container.facts["HostConfig"]

    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])


def test_a_container_is_bounded_and_comes_back(container: Container) -> None:
    host = container.facts["HostConfig"]

    assert host["Memory"] > 0
    assert host["MemorySwap"] == host["Memory"]
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"]["max-size"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert container.facts["Config"]["Healthcheck"]["Test"]


def test_only_mongrel2_is_published_and_on_this_machine_alone(deployment: Deployment) -> None:
    published = {
        (c.service, port, binding["HostIp"], binding["HostPort"])
        for c in deployment.containers()
        for port, bindings in c.facts["NetworkSettings"]["Ports"].items()
        for binding in bindings or ()
    }

    assert published == {("mongrel2", "6767/tcp", "127.0.0.1", str(deployment.port))}


def test_only_mongrel2_is_on_a_network_with_a_way_out(deployment: Deployment) -> None:
    networks = {
        c.service: {name.removeprefix(f"{deployment.project}_") for name in _networks(c)}
        for c in deployment.containers()
    }
    inner = [f"{deployment.project}_{name}" for name in ("front", "back")]
    inspected = json.loads(docker("network", "inspect", *inner))

    assert networks == {
        "mongrel2": {"edge", "front"},
        "client-app": {"front", "back"},
        "slow-service": {"back"},
    }
    assert [network["Internal"] for network in inspected] == [True, True]


def _networks(container: Container) -> set[str]:
    return set(container.facts["NetworkSettings"]["Networks"])


def test_the_secrets_are_random_and_in_no_environment_log_or_image(deployment: Deployment) -> None:
    secrets = [
        deployment.compose("exec", "-T", "client-app", "cat", f"/secrets/{name}").strip()
        for name in ("service_passphrase", "cookie_secret")
    ]
    containers = deployment.containers(everything=True)
    open_to_all = [
        *(json.dumps(container.facts) for container in containers),
        *(docker("image", "inspect", container.facts["Image"]) for container in containers),
        deployment.all_logs(),
    ]

    assert len(set(secrets)) == 2
    assert min(len(secret) for secret in secrets) >= 32
    assert not [text for text in open_to_all for secret in secrets if secret in text]

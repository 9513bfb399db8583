"""What browsers are told when a part fails, and that the next request works."""

import time
from html import unescape

from tests.e2e.deployment import Deployment
from tests.http import Answer


def test_without_the_service_calls_are_503_until_it_is_back(
    deployment_to_break: Deployment,
) -> None:
    deployment_to_break.compose("stop", "slow-service")
    deployment_to_break.wait_until_not_ready()

    answer = deployment_to_break.ask("/service/sync")

    assert answer.status == 503
    assert answer.seconds < 2
    _assert_is_an_error_page(answer)
    assert deployment_to_break.ask("/healthz").status == 200
    assert deployment_to_break.ask("/").status == 200

    deployment_to_break.compose("start", "slow-service")
    deployment_to_break.wait_until_ready()

    assert deployment_to_break.ask("/service/sync").status == 200


def test_calls_in_hand_of_a_service_that_crashes_are_502_at_once(
    deployment_to_break: Deployment,
) -> None:
    (service,) = deployment_to_break.containers("slow-service")
    calls = deployment_to_break.with_calls_in_hand(3)

    killed = deployment_to_break.crash(service)
    answers = [call.result() for call in calls]

    assert [answer.status for answer in answers] == [502] * 3
    assert all(answer.ended < killed + 2 for answer in answers)
    _assert_is_an_error_page(answers[0])

    deployment_to_break.wait_until_ready()
    assert deployment_to_break.ask("/service/sync").status == 200


def test_with_another_passphrase_calls_are_502_and_the_log_says_why(
    deployment_to_break: Deployment,
) -> None:
    another_secret = {"SERVICE_PASSPHRASE_FILE": "/secrets/cookie_secret"}
    deployment_to_break.up("--no-deps", "client-app", **another_secret)
    deployment_to_break.wait_until_not_ready()

    answer = deployment_to_break.ask("/service/sync")

    assert answer.status == 502
    assert answer.seconds < 2
    _assert_is_an_error_page(answer)
    assert "passphrase" in deployment_to_break.log("client-app")
    assert deployment_to_break.ask("/").status == 200


def test_the_browsers_of_a_client_app_that_crashes_are_told_within_seconds(
    deployment_to_break: Deployment,
) -> None:
    (client_app,) = deployment_to_break.containers("client-app")
    calls = deployment_to_break.with_calls_in_hand(3)

    killed = deployment_to_break.crash(client_app)
    answers = [call.result() for call in calls]

    assert [answer.status for answer in answers] == [0] * 3
    assert all(answer.ended < killed + 7 for answer in answers)
    deployment_to_break.wait_until_ready()
    assert deployment_to_break.ask("/service/sync").status == 200


def test_after_a_restart_of_mongrel2_no_browser_gets_the_answer_to_another(
    deployment_to_break: Deployment,
) -> None:
    # Mongrel2 numbers its connections from 1 at every start. The call is number 30 or so of one
    # start; of the next, that number falls to one of 60 browsers that wait for calls of their own.
    _restart_mongrel2(deployment_to_break)
    for page in deployment_to_break.asking("/", times=30):
        page.result()
    earlier = len(deployment_to_break.log("client-app").calls)
    (call,) = deployment_to_break.with_calls_in_hand(1)
    called = time.monotonic()

    _restart_mongrel2(deployment_to_break)
    under_way = time.monotonic() - called
    answers = [a.result() for a in deployment_to_break.asking("/service/sync", times=60)]

    old_id = deployment_to_break.log("client-app").calls[earlier]
    assert call.result().status == 0
    assert under_way < deployment_to_break.slow_seconds - 1, "the restart took too long to tell"
    assert _was_ended(deployment_to_break, old_id)
    assert old_id not in {answer.request_id for answer in answers}
    assert len({answer.request_id for answer in answers}) == 60
    assert [answer.status for answer in answers] == [200] * 60
    assert min(answer.seconds for answer in answers) >= deployment_to_break.slow_seconds


def _restart_mongrel2(deployment: Deployment) -> None:
    deployment.compose("restart", "--timeout", "2", "mongrel2")
    deployment.wait_until_ready()


def _was_ended(deployment: Deployment, request_id: str) -> bool:
    """Whether the page's handler was ended, and with it the service's."""
    logs = (deployment.log(service) for service in ("client-app", "slow-service"))
    return all(any("was ended" in line for line in log.about(request_id)) for log in logs)


def _assert_is_an_error_page(answer: Answer) -> None:
    assert answer.headers.get_content_type() == "text/html"
    assert f"Error {answer.status}" in unescape(answer.text)
    assert answer.request_id in answer.text

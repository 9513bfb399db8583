"""More than one container of each Python service."""

import re

from tests.e2e.deployment import Deployment


def test_three_services_and_two_apps_share_the_work(deployment_to_break: Deployment) -> None:
    deployment_to_break.up("--scale", "slow-service=3", "--scale", "client-app=2")
    deployment_to_break.wait_until_ready()

    answers = [call.result() for call in deployment_to_break.asking("/service/sync", times=30)]

    ids = {answer.request_id for answer in answers}
    assert [answer.status for answer in answers] == [200] * 30
    for service, containers in (("slow-service", 3), ("client-app", 2)):
        shares = [
            len(ids & {line.get("request_id") for line in container.said.lines})
            for container in deployment_to_break.containers(service)
        ]
        assert len(shares) == containers
        assert sum(shares) == 30
        assert min(shares) > 0, f"the shares of {service}: {shares}"
    named = {re.search(r"Answered by</dt><dd><code>(\w+)</code>", a.text) for a in answers}
    assert len({match[1] for match in named if match}) == 3

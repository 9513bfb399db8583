"""Prometheus beside a deployment, as `docker compose --profile observability up` adds it."""

import json
import time
from typing import Any
from urllib.parse import urlencode

from tests.e2e.deployment import Container, Deployment, docker
from tests.http import ask
from tests.ports import free_port
from tests.waiting import eventually


class Prometheus:
    """Asked at its published port; the deployment is started anew with it, all counts at zero."""

    def __init__(self, deployment: Deployment) -> None:
        self.port = free_port()
        self._deployment = deployment
        self._environment = {
            "COMPOSE_PROFILES": "observability",
            "PROMETHEUS_PORT": str(self.port),
        }

    def start(self, *scales: str) -> None:
        """Build it, and start it with everything else; all are healthy when this returns."""
        self.compose("build", "prometheus")
        self.up("--force-recreate", *scales)
        self._deployment.wait_until_ready()

    def up(self, *arguments: str) -> None:
        """As `Deployment.up`."""
        self._deployment.up(*arguments, **self._environment)

    def remove(self) -> None:
        """Take it away with its network and all that it has collected."""
        self.compose("rm", "--stop", "--force", "prometheus")
        docker("volume", "rm", "--force", f"{self._deployment.project}_prometheus")
        docker("network", "rm", f"{self._deployment.project}_watch")

    def compose(self, *arguments: str) -> str:
        """As `Deployment.compose`."""
        return self._deployment.compose(*arguments, **self._environment)

    def container(self) -> Container:
        """It."""
        id_ = self.compose("ps", "--quiet", "prometheus").strip()
        return Container(json.loads(docker("inspect", id_))[0])

    # What it knows

    def targets(self) -> dict[str, list[str]]:
        """The health of all that it collects from, by job."""
        health: dict[str, list[str]] = {}
        for target in self._get("/api/v1/targets", state="active")["activeTargets"]:
            health.setdefault(target["labels"]["job"], []).append(target["health"])
        return health

    def wait_for_targets(self, *, seconds: float = 30.0, **numbers: int) -> None:
        """Wait until it collects from that many of each job (`_` for `-`), and no more."""
        wanted = {name.replace("_", "-"): ["up"] * number for name, number in numbers.items()}
        eventually(lambda: self.targets() == wanted, f"{wanted}", seconds=seconds)

    def value(self, query: str) -> float:
        """What a query for one number brings; 0 if nothing."""
        result = self._get("/api/v1/query", query=query)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def wait_for_value(self, query: str, value: float, *, seconds: float = 20.0) -> None:
        """Wait until a query brings this number."""
        eventually(lambda: self.value(query) == value, f"{query} is {value}", seconds=seconds)

    def exemplars(self, series: str) -> set[str]:
        """The ids of requests that it keeps beside the last minute of a series."""
        now = time.time()
        found = self._get(
            "/api/v1/query_exemplars", query=series, start=f"{now - 60}", end=f"{now + 1}"
        )
        return {e["labels"]["request_id"] for serie in found for e in serie["exemplars"]}

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _get(self, path: str, **arguments: str) -> Any:
        answer = ask(self.port, f"{path}?{urlencode(arguments)}", timeout=10)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)["data"]

"""What all tests with containers need: an engine, and what the containers said when one fails."""

import subprocess
from typing import Any, Protocol

import pytest

from tests.needs import program


class HasLogs(Protocol):
    """A deployment."""

    def all_logs(self, *, since: float) -> str:
        """What its containers said since then."""


def docker_answers() -> bool:
    """Whether there is an engine, and Compose."""
    command = ("docker", "compose", "ls")  # asks the engine, by the plugin
    done = subprocess.run(command, capture_output=True, check=False) if program("docker") else None
    return done is not None and not done.returncode


def add_logs(
    report: pytest.TestReport, call: pytest.CallInfo[Any], deployment: HasLogs | None
) -> None:
    """What the containers said during a test that failed belongs to its report."""
    if report.failed and deployment is not None:
        said = deployment.all_logs(since=call.start - 10)
        report.sections.append(("docker compose logs", said))

"""The shipped compose.yaml, running on this machine under a name and on a port of its own."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testcontainers.compose import DockerCompose

from tests.http import Answer, ask
from tests.waiting import eventually

START_LIMIT = 120
"""Seconds until everything is healthy."""


class Deployment:
    """What docker compose made of the project in `folder`.

    Args:
        environment: what users of compose.yaml would set, and the name of the project.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.project = environment["COMPOSE_PROJECT_NAME"]
        self.port = int(environment["PORT"])
        self.slow_seconds = float(environment["SLOW_SECONDS"])
        self.tag = environment["TAG"]
        self.folder = folder
        self._compose = DockerCompose(folder, wait=True)
        self._browsers = ThreadPoolExecutor(400)

    # Its life

    def build(self) -> None:
        """Build the images, showing the progress."""
        subprocess.run(["docker", "compose", "build"], cwd=self.folder, check=True)

    def start(self) -> None:
        """Start one container of each service; all are healthy when this returns.

        Raises:
            AssertionError: if not; what all containers said is printed then.
        """
        try:
            self._compose.start()
        except subprocess.CalledProcessError:
            print(self.all_logs())  # noqa: T201
            raise AssertionError("the deployment did not start") from None

    def repair(self) -> None:
        """Bring back one healthy container of each service, as the environment says."""
        self.up("--scale", "client-app=1", "--scale", "slow-service=1")
        self.wait_until_ready()

    def remove(self) -> None:
        """Take it away with its volume and its images.

        Raises:
            AssertionError: if something of it is left.
        """
        self._browsers.shutdown(cancel_futures=True)
        self._compose.stop()
        assert self.leftovers() == []
        # By name: the same image may have other names, which are somebody else's.
        ours, others = f"reference=*/*/*:{self.tag}", f"reference=*/*:{self.tag}"
        named = ("--format", "{{.Repository}}:{{.Tag}}", "--filter", ours, "--filter", others)
        for image in docker("image", "ls", *named).split():
            docker("image", "rm", image)

    def leftovers(self) -> list[str]:
        """The containers, networks and volumes that belong to it."""
        label = f"label=com.docker.compose.project={self.project}"
        lists = (("container", "--all"), ("network",), ("volume",))
        return [
            f"{kind} {name}"
            for kind, *options in lists
            for name in docker(kind, "ls", "--quiet", *options, "--filter", label).split()
        ]

    # Commands

    def compose(self, *arguments: str, **environment: str) -> str:
        """What a docker compose command prints, run with more environment variables."""
        return _run("docker", "compose", *arguments, folder=self.folder, environment=environment)

    def up(self, *arguments: str, **environment: str) -> None:
        """Make it as compose.yaml, the arguments and the environment say; wait for health."""
        wait = ("--detach", "--no-build", "--wait", "--wait-timeout", str(START_LIMIT))
        self.compose("up", *wait, *arguments, **environment)

    def crash(self, container: "Container") -> float:
        """Kill the processes of a service's only container, as if they had crashed.

        Returns, when it has been started again, the time at which they were dead, as
        `time.monotonic` has it. Not by `docker kill`: after that the restart policy would not act.
        """
        # The shell itself is spared; it ends with the container. So it may be cut off: unchecked.
        subprocess.run(
            ["docker", "exec", container.id, "bash", "-c", "kill -9 -1"],
            capture_output=True,
            check=False,
            timeout=30,
        )
        dead = time.monotonic()
        service = container.service
        eventually(
            lambda: self.containers(service, everything=True)[0].started != container.started,
            f"the restart of {service} after the crash",
            seconds=30,
        )
        return dead

    # What it is

    def containers(self, service: str = "", *, everything: bool = False) -> list["Container"]:
        """The running containers of a service or of all; with those that ended if `everything`."""
        every = ("--all",) if everything else ()
        of = (service,) if service else ()
        ids = self.compose("ps", "--quiet", *every, *of).split()
        return [Container(facts) for facts in json.loads(docker("inspect", *ids))] if ids else []

    def log(self, service: str) -> "Log":
        """What the containers of a service have said until now."""
        return Log("".join(c.said for c in self.containers(service, everything=True)))

    def all_logs(self, *, since: float | None = None) -> str:
        """What all containers have said, to be read by a person."""
        when = () if since is None else ("--since", str(int(since)))
        lines = self.compose("logs", "--no-color", "--timestamps", *when)
        return lines.replace("\x1b[2K", "")  # compose clears lines it never wrote

    # Browsers

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """The answer to one request."""
        return ask(self.port, path, method, headers=headers, timeout=timeout)

    def asking(self, path: str, times: int = 1) -> list["Future[Answer]"]:
        """Requests under way, each on a connection of its own, all at once."""
        return [self._browsers.submit(self.ask, path) for _ in range(times)]

    def with_calls_in_hand(self, times: int = 1) -> list["Future[Answer]"]:
        """Requests of `/service/sync` whose calls are at the service when this returns."""
        apps = self.containers("client-app", everything=True)  # once: that takes its time

        def calls() -> int:
            return sum(len(app.said.calls) for app in apps)

        before = calls()
        answers = self.asking("/service/sync", times)
        eventually(
            lambda: calls() >= before + times,
            f"{times} calls under way",
            seconds=self.slow_seconds / 2,
        )
        return answers

    def wait_until_ready(self, *, seconds: float = 30.0) -> None:
        """Wait until `/readyz` says so."""
        eventually(lambda: self._readiness() == 200, "/readyz says 200", seconds=seconds)

    def wait_until_not_ready(self, *, seconds: float = 15.0) -> None:
        """Wait until `/readyz` says 503."""
        eventually(lambda: self._readiness() == 503, "/readyz says 503", seconds=seconds)

    def _readiness(self) -> int:
        try:
            return self.ask("/readyz", timeout=2.0).status
        except TimeoutError:
            return 0


@dataclass(frozen=True)
class Container:
    """What docker inspect says about a container."""

    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.facts["Id"])

    @property
    def service(self) -> str:
        """The name of its compose service."""
        return str(self.facts["Config"]["Labels"]["com.docker.compose.service"])

    @property
    def state(self) -> str:
        """`healthy`, or what it is instead."""
        state = self.facts["State"]
        return str(state.get("Health", {}).get("Status") or f"exited {state['ExitCode']}")

    @property
    def started(self) -> str:
        """When it was started last."""
        return str(self.facts["State"]["StartedAt"])

    @property
    def said(self) -> "Log":
        """What it has said until now."""
        return Log(docker("logs", self.id))


class Log(str):
    """What containers said, a JSON object a line."""

    __slots__ = ()

    @property
    def lines(self) -> list[dict[str, str]]:
        """The objects."""
        return [json.loads(line) for line in self.splitlines() if line.startswith("{")]

    @property
    def calls(self) -> list[str]:
        """The ids of the requests whose calls have been sent to a service, in their order."""
        sent = (line for line in self.lines if line["message"].startswith("calling"))
        return [line["request_id"] for line in sent]

    def about(self, request_id: str) -> list[str]:
        """The messages of the lines about one request."""
        assert request_id, "the answer names no request"
        return [line["message"] for line in self.lines if line.get("request_id") == request_id]


def docker(*arguments: str) -> str:
    """What a docker command prints."""
    return _run("docker", *arguments)


def _run(
    *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout

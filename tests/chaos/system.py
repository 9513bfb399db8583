"""The system under test: the shipped deployment, two of each Python program, and their ledger."""

import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from unittest.mock import patch

from tests.chaos.ledger import Entry, Execution, disagreements, executions
from tests.chaos.load import SteadyLoad, issue
from tests.e2e.deployment import Container, Deployment
from tests.needs import ROOT
from tests.ports import free_port
from tests.waiting import eventually


@contextmanager
def running_system(ledger: Path) -> Iterator["System"]:
    """Build and start it; take it away at the end. The folder `ledger` has its executions."""
    ledger.chmod(0o777)  # the services' user is nobody here
    environment = {
        "COMPOSE_FILE": "compose.yaml:tests/chaos/compose.yaml",
        "COMPOSE_PROJECT_NAME": f"bschaos-{os.getpid()}",
        "TAG": f"bschaos-{os.getpid()}",
        "PUBLISH_ADDRESS": "127.0.0.1",
        "PORT": str(free_port()),
        "SERVICE_TIMEOUT": "5",
        "SLOW_SECONDS": "1",
        "LEDGER": str(ledger),
    }
    with patch.dict(os.environ, environment):
        system = System(ROOT, environment)
        try:
            system.build()
            system.repair()
            yield system
        finally:
            system.remove()


class System(Deployment):
    """The deployment of compose.yaml and `tests/chaos/compose.yaml`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(folder, environment)
        self._book = Path(environment["LEDGER"])
        self._numbers = itertools.count(1)

    def scale(self, **services: int) -> None:
        """Have so many of each: `scale(slow_service=4)`; the others stay as they are."""
        options = [f"{name.replace('_', '-')}={count}" for name, count in services.items()]
        scales = [word for option in options for word in ("--scale", option)]
        wanted = [option.partition("=")[0] for option in options]
        self.up("--no-deps", "--no-recreate", *scales, *wanted)

    def limit(self, service: str, limits: str, *, wait: bool = True) -> None:
        """Have one container of a service, with other limits, said as compose.yaml says them."""
        with NamedTemporaryFile("w", suffix=".yaml") as override:
            override.write(f"services: {{{service}: {{{limits}}}}}")
            override.flush()
            files = f"{os.environ['COMPOSE_FILE']}:{override.name}"
            self.compose("up", "--detach", "--no-build", "--no-deps", service, COMPOSE_FILE=files)
        if wait:
            self.wait_until_all_work(seconds=30)

    def repair(self) -> None:
        """Bring back two of each Python program, as the environment says; all of them work then."""
        # Without waiting for health: that of what was frozen is told late.
        scales = ("--scale", "client-app=2", "--scale", "slow-service=2")
        self.compose("up", "--detach", "--no-build", *scales)
        self.wait_until_all_work(seconds=60)

    @property
    def back(self) -> str:
        """The network between client apps and services."""
        return f"{self.project}_back"

    # Calls

    def load(self, **options: float) -> SteadyLoad:
        """Steady load; a `with` block is its life."""
        return SteadyLoad(self.port, self._new_name(), **options)  # type: ignore[arg-type]

    def call(self, **arguments: float) -> Entry:
        """One call."""
        return issue(self.port, self._new_name(), **arguments)  # type: ignore[arg-type]

    def listens(self) -> bool:
        """Whether Mongrel2 answers: it serves a file by itself."""
        return self.ask("/static/icon.svg", timeout=5).status == 200

    def wait_until_calls_are_answered(self, *, seconds: float) -> None:
        """Wait until one is."""
        eventually(lambda: self.call().outcome == "answered", "a call is answered", seconds=seconds)

    def states(self) -> dict[str, dict[str, int]]:
        """What each client app says of itself, by its host's name (see `apps/client.py`)."""
        # Several at once: of requests one after the other, Mongrel2 gives every second message,
        # which tells that the browser has left, to the second app, and all requests to the first.
        answers = [asked.result() for asked in self.asking("/state", times=8)]
        said = [json.loads(answer.text) for answer in answers if answer.status == 200]
        return {state.pop("host"): state for state in said}

    def calls_in_hand(self) -> int:
        """Calls that the client apps wait for."""
        return sum(state["calls"] for state in self.states().values())

    def wait_until_all_work(self, *, seconds: float) -> None:
        """Wait until every client app has a connection to every service."""
        replicas = [len(self.containers("slow-service"))] * len(self.containers("client-app"))
        eventually(
            lambda: [state["replicas"] for state in self.states().values()] == replicas,
            "all work",
            seconds=seconds,
        )

    def _new_name(self) -> str:
        return f"{next(self._numbers)}-{time.time():.0f}"

    # The ledger

    def executions(self, entries: list[Entry] | None = None) -> list[Execution]:
        """What the services executed, of these entries or of all."""
        executed = executions(self._book)
        if entries is None:
            return executed
        ids = {entry.id for entry in entries}
        return [execution for execution in executed if execution.id in ids]

    def disagreements(self, entries: list[Entry]) -> list[str]:
        """What the ledger of some calls says against us."""
        return disagreements(entries, self.executions(entries))

    def executed_by(self, container: Container, *, since: float) -> bool:
        """Whether a service has begun to execute something since then."""
        host = container.facts["Config"]["Hostname"]
        return any(e.host == host and e.began >= since for e in executions(self._book))

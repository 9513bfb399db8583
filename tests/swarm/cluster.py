"""Three machines in containers, the Swarm they form, and the shipped stack on it with a ledger."""

import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.ledger import Entry, Execution, disagreements, executions
from tests.chaos.load import SteadyLoad
from tests.http import Answer, ask
from tests.needs import ROOT
from tests.ports import free_port
from tests.waiting import eventually

IMAGES = ("mongrel2", "client-app", "slow-service")
REPLICAS = {"mongrel2": 1, "client-app": 2, "slow-service": 2}


@contextmanager
def running_cluster() -> Iterator["Cluster"]:
    """Build and start it; take it away at the end, with all that belongs to it."""
    cluster = Cluster(f"bsswarm-{os.getpid()}")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@dataclass(frozen=True)
class Task:
    """A task of the Swarm, one replica of a service: `client-app.1` on a node."""

    name: str
    node: str
    state: str
    image: str


class Cluster:
    """What scripts/swarm makes; `name` begins the names of all its parts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.nodes = [f"{name}-{number}" for number in (1, 2, 3)]
        self.manager, *self.workers = self.nodes
        self.loads: list[SteadyLoad] = []
        """Of the present test."""
        self._numbers = itertools.count(1)
        self._folder = Path(tempfile.gettempdir()) / name  # the same in each node
        self._ledger = self._folder / "ledger"
        files = ("compose.yaml", "deploy/swarm/compose.yaml", "tests/swarm/compose.yaml")
        self._environment = {
            "SWARM_NAME": name,
            "TAG": name,
            "COMPOSE_FILE": ":".join(files),
            "PORT": str(self.port),
            "ENCRYPT_FRONT": "false",
            "SERVICE_TIMEOUT": "5",
            "SLOW_SECONDS": "1",
            "LEDGER": str(self._ledger),
        }

    # Its life

    def start(self) -> None:
        """Three machines, and the stack on them; all of it runs when this returns."""
        self._ledger.mkdir(parents=True)
        self._folder.chmod(0o700)
        self._ledger.chmod(0o777)  # the services' user is nobody here
        run("scripts/swarm", environment=self._environment)
        self.wait_until_all_work()

    def repair(self) -> None:
        """Bring back all machines, and on them what the first deployment was."""
        for node in self.nodes:
            if run("docker", "inspect", "--format", "{{.State.Running}}", node).strip() != "true":
                self.bring_back(node)
            self.docker("node", "update", "--availability", "active", node)
        python = ("client-app", "slow-service")
        upgraded = any(t.image != self.image(s) for s in python for t in self.tasks(s))
        for service in python:
            if upgraded or self.nodes_of(service) != self.workers:  # a Swarm leaves them there
                self.scale(service, 0)
        if upgraded:
            self.deploy()
        for service in python:
            self.scale(service, 2)
        self.wait_until_all_work()

    def remove(self) -> None:
        """Take it away.

        Raises:
            AssertionError: if something of it is left.
        """
        run("scripts/swarm", "down", environment=self._environment)
        for image in run("docker", "image", "ls", "--format", NAMED).split():
            if image.rpartition(":")[2].startswith(self.name):
                run("docker", "image", "rm", image)
        of_it = ("--quiet", "--filter", f"name={self.name}")
        left = run("docker", "ps", "--all", *of_it) + run("docker", "network", "ls", *of_it)
        assert not left.split()
        assert not self._folder.exists()
        assert not list(Path("/sys/fs/cgroup").glob(f"*/swarm/{self.name}-*"))

    # Commands

    def docker(self, *arguments: str, node: str = "") -> str:
        """What a docker command prints, given to the engine of a node, or of the manager."""
        return run("docker", "--host", self._engine(node or self.manager), *arguments)

    def stack(self, command: str, **environment: str) -> None:
        """Run deploy/swarm/stack on the manager, where the port is always 6767."""
        engine = {"DOCKER_HOST": self._engine(self.manager), "PORT": "6767"}
        run("deploy/swarm/stack", command, environment=self._environment | engine | environment)

    def deploy(self, release: str = "") -> None:
        """Bring the stack up to date, with the images of a release."""
        self.stack("up", TAG=release or self.name)

    def make_release(self, service: str, *changes: str) -> str:
        """Give all machines images in which one differs, by lines of a Dockerfile; their tag."""
        release = f"{self.name}-{next(self._numbers)}"
        for image in IMAGES:
            run("docker", "tag", f"{PREFIX}{image}:{self.name}", f"{PREFIX}{image}:{release}")
        dockerfile = "\n".join((f"FROM {PREFIX}{service}:{self.name}", *changes))
        run("docker", "build", "--tag", f"{PREFIX}{service}:{release}", "-", given=dockerfile)
        archive = str(self._folder / "release.tar")
        run("docker", "save", "--output", archive, *(f"{PREFIX}{i}:{release}" for i in IMAGES))
        with ThreadPoolExecutor() as nodes:
            list(nodes.map(lambda n: self.docker("load", "--input", archive, node=n), self.nodes))
        return release

    def image(self, service: str, release: str = "") -> str:
        """The id of a service's image in a release."""
        name = f"{PREFIX}{service}:{release or self.name}"
        return run("docker", "image", "inspect", "--format", "{{.Id}}", name).strip()

    def scale(self, service: str, replicas: int) -> None:
        """Have so many; when this returns they all run, and no other does."""
        self.docker("service", "scale", "--detach", f"{STACK}_{service}={replicas}")
        eventually(
            lambda: self._run_exactly(service, replicas), f"{replicas} {service}", seconds=60
        )

    def drain(self, node: str) -> None:
        """Have all tasks leave a node; when this returns, none runs there."""
        self.docker("node", "update", "--availability", "drain", node)
        eventually(lambda: not self.containers(node), f"{node} is empty", seconds=60)

    def kill(self, node: str) -> tuple[float, float]:
        """End everything on a machine at once, as a loss of power does; it was between these times.

        Its last words are lost first: a dying kernel closes no connections.
        """
        assert self.containers(node), "nothing ran there"
        before = time.time()
        run("docker", "exec", node, "iptables", "-I", "OUTPUT", "-o", "eth0", "-j", "DROP")
        after = time.time()
        run("docker", "kill", node)
        assert run("docker", "inspect", "--format", "{{.State.Running}}", node).strip() == "false"
        return before, after

    def bring_back(self, node: str) -> None:
        """Start a machine that was killed, and wait until the Swarm has it again."""
        run("docker", "start", node)
        eventually(lambda: self.state_of(node) == "ready", f"{node} is back", seconds=60)

    # What it is

    def tasks(self, service: str) -> list[Task]:
        """Those that a service should have now, in whatever state."""
        form = "{{.Name}}\t{{.Node}}\t{{.CurrentState}}\t{{.Image}}"
        wanted = ("--filter", "desired-state=running", "--no-trunc", "--format", form)
        lines = self.docker("service", "ps", *wanted, f"{STACK}_{service}").splitlines()
        return [Task(*line.split("\t")) for line in lines]

    def running(self, service: str) -> list[Task]:
        """Those of them that run, which means that they are healthy."""
        return [task for task in self.tasks(service) if task.state.startswith("Running")]

    def nodes_of(self, service: str) -> list[str]:
        """Where they run, in alphabetical order."""
        return sorted(task.node for task in self.running(service))

    def containers(self, node: str, service: str = "") -> list[str]:
        """The host names of the containers that run on a node, of one service or of all."""
        of = ("--filter", f"label=com.docker.swarm.service.name={STACK}_{service}")
        return self.docker("ps", "--quiet", *(of if service else ()), node=node).split()

    def state_of(self, node: str) -> str:
        """What the manager says of a machine: `ready` or `down`."""
        return self.docker("node", "inspect", "--format", "{{.Status.State}}", node).strip()

    def update_of(self, service: str) -> str:
        """How the last update of a service went: `completed`, `rollback_completed`, and so on."""
        form = "{{with .UpdateStatus}}{{.State}}{{end}}"
        return self.docker("service", "inspect", "--format", form, f"{STACK}_{service}").strip()

    def secret_of(self, service: str) -> str:
        """The name of the Swarm's secret that a service has as its passphrase."""
        form = "{{json .Spec.TaskTemplate.ContainerSpec.Secrets}}"
        said = self.docker("service", "inspect", "--format", form, f"{STACK}_{service}")
        [name] = [s["SecretName"] for s in json.loads(said) if "passphrase" in s["File"]["Name"]]
        return str(name)

    def who_runs_where(self) -> str:
        """What `docker service ps` says of all services, to be read by a person."""
        services = [f"{STACK}_{service}" for service in REPLICAS]
        return self.docker("service", "ps", "--format", WHERE, *services)

    def all_logs(self, *, since: float) -> str:
        """What all tasks have said last, since then."""
        return self.who_runs_where() + "\n".join(
            run(
                *("docker", "--host", self._engine(self.manager), "service", "logs"),
                *("--tail", "50", "--since", str(int(since)), f"{STACK}_{service}"),
                both=True,
            )
            for service in REPLICAS
        )

    # Calls

    def load(self, **options: float) -> SteadyLoad:
        """Steady load; a `with` block is its life."""
        name = f"{next(self._numbers)}-{time.time():.0f}"
        load = SteadyLoad(self.port, name, **options)  # type: ignore[arg-type]
        self.loads.append(load)
        return load

    def ask(self, path: str) -> Answer:
        """The answer to one request."""
        return ask(self.port, path, timeout=10)

    def states(self) -> dict[str, int]:
        """How many replicas of the service each client app is connected to."""
        with ThreadPoolExecutor(8) as browsers:
            answers = list(browsers.map(self.ask, ["/state"] * 8))
        said = [json.loads(answer.text) for answer in answers if answer.status == 200]
        return {state["host"]: state["replicas"] for state in said}

    def wait_until_all_work(self) -> None:
        """Wait until every client app has a connection to every service, and no other."""
        eventually(self._all_work, "all work", seconds=60)

    def executions(self, entries: Sequence[Entry]) -> list[Execution]:
        """What the services executed of these entries."""
        ids = {entry.id for entry in entries}
        return [execution for execution in executions(self._ledger) if execution.id in ids]

    def disagreements(self, entries: Sequence[Entry]) -> list[str]:
        """What the ledger of some calls says against us."""
        return disagreements(entries, self.executions(entries))

    def executed_at(self, node: str, *, since: float) -> set[str]:
        """The containers of a node that have begun to execute something since then."""
        hosts = set(self.containers(node, "slow-service"))
        return hosts & {e.host for e in executions(self._ledger) if e.began >= since}

    def _run_exactly(self, service: str, replicas: int) -> bool:
        there = [container for node in self.nodes for container in self.containers(node, service)]
        return len(self.running(service)) == len(there) == replicas

    def _all_work(self) -> bool:
        running = {service: len(self.running(service)) for service in REPLICAS}
        replicas = [running["slow-service"]] * running["client-app"]
        return running == REPLICAS and list(self.states().values()) == replicas

    def _engine(self, node: str) -> str:
        return f"unix://{self._folder}/{node}.sock"


STACK = "brubeck-services"
PREFIX = "localhost/brubeck-services/"
NAMED = "{{.Repository}}:{{.Tag}}"
WHERE = "table {{.Name}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}"


def run(
    *command: str, environment: Mapping[str, str] | None = None, given: str = "", both: bool = False
) -> str:
    """What a command prints when `given` this: on standard output, or on `both`."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr * both

"""Faults, each of which is seen to have happened; those that last end with a `with` block.

They act from the host, as root: on a container's processes by the ids these have there, and on
its network by rules inside its own network namespace.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from tests.e2e.deployment import Container, docker
from tests.waiting import eventually

Direction = Literal["to", "from"]

SERVICE_PORT = 9000

_FLOOD = """
import socket, sys
port, count = map(int, sys.argv[1:])
connections = [socket.create_connection(("slow-service", port), timeout=5) for _ in range(count)]
print("flooded", flush=True)
sys.stdin.read()
"""

_DROPPED = re.compile(r"^\s*(\d+)\s+\d+\s", re.MULTILINE)


class Beginning(NamedTuple):
    """The times between which a fault began: it takes commands, and they take their time."""

    earliest: float
    latest: float


def pid(container: Container) -> int:
    """The host's id of its first process; 0 while it has none."""
    return int(docker("inspect", "--format", "{{.State.Pid}}", container.id))


def restarts(container: Container) -> int:
    """How often Docker has started it again after it had ended by itself."""
    return int(docker("inspect", "--format", "{{.RestartCount}}", container.id))


def open_files(container: Container) -> int:
    """The largest number of files that one of its processes has open."""
    processes = docker("top", container.id, "-o", "pid").split()[1:]
    return max(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in processes)


@contextmanager
def flooded_by(container: Container, connections: int) -> Iterator[None]:
    """Have it hold so many connections to the services, without a word."""
    command = ("docker", "exec", "--interactive", container.id, "python3", "-c", _FLOOD)
    flood = subprocess.Popen(
        [*command, str(SERVICE_PORT), str(connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert flood.stdout is not None
        assert flood.stdout.readline() == b"flooded\n"
        yield
        assert flood.poll() is None, "the flood was over too early"
    finally:
        flood.communicate(timeout=30)  # closes its standard input, and so it ends


def address(container: Container, network: str) -> str:
    """Its address in a network of its project."""
    form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    return docker("inspect", "--format", form, container.id).strip()


def kill(container: Container) -> float:
    """End all its processes at once, as a crash does; when that was.

    Not by `docker kill`: after that the restart policy would not act.
    """
    victim = pid(container)
    assert victim > 0, "it does not run"
    os.kill(victim, signal.SIGKILL)
    killed = time.time()
    eventually(lambda: not Path(f"/proc/{victim}").exists(), "its end", seconds=10)
    return killed


@contextmanager
def frozen(container: Container) -> Iterator[Beginning]:
    """Stop all its processes where they are."""
    earliest = time.time()
    docker("pause", container.id)
    try:
        assert docker("inspect", "--format", "{{.State.Paused}}", container.id).strip() == "true"
        yield Beginning(earliest, time.time())
    finally:
        docker("unpause", container.id)


@contextmanager
def cut(
    container: Container, *directions: Direction, port: int = SERVICE_PORT
) -> Iterator[Beginning]:
    """Lose all packets that go to its port, or come from there, without a word to anybody."""
    chains = {"to": ("INPUT", "--dport"), "from": ("OUTPUT", "--sport")}
    rules = [
        (chain, "-p", "tcp", option, str(port), "-j", "DROP")
        for chain, option in (chains[direction] for direction in directions or ("to", "from"))
    ]
    with _rules(container, *rules) as beginning:
        yield beginning


@contextmanager
def losing(container: Container, share: float) -> Iterator[Beginning]:
    """Lose this share of the packets that go to it."""
    chance = ("-m", "statistic", "--mode", "random", "--probability", str(share))
    with _rules(container, ("INPUT", "-p", "tcp", *chance, "-j", "DROP")) as beginning:
        yield beginning


@contextmanager
def slow_link(container: Container, rate: str) -> Iterator[float]:
    """Let it send so much only: `256kbit` is a bad mobile connection."""
    shape = ("dev", "eth0", "root", "tbf", "rate", rate, "burst", "8k", "latency", "400ms")
    _in_network_of(container, "tc", "qdisc", "add", *shape)
    try:
        yield time.time()
        assert _sent_slowly(container) > 0, "nothing was sent: there was no fault"
    finally:
        _in_network_of(container, "tc", "qdisc", "del", "dev", "eth0", "root")


@contextmanager
def without_name_service(container: Container) -> Iterator[Beginning]:
    """Lose all its questions to Docker's name service: it waits for answers that never come."""
    with _rules(container, ("INPUT", "-d", "127.0.0.11", "-j", "DROP")) as beginning:
        yield beginning


def reset_connections(container: Container, port: int = SERVICE_PORT) -> float:
    """End all TCP connections to its port by a reset, which both ends are told of at once."""
    connections = ("--no-header", "--tcp", "state", "established", f"sport = :{port}")
    started = time.time()
    ended = _in_network_of(container, "ss", "--kill", *connections)
    assert ended, "it had no connection: there was no fault"
    return started


def give_another_address(container: Container, network: str, *, absent: float) -> tuple[str, str]:
    """Take it off a network for so many seconds; its address before and after."""
    before = address(container, network)
    with ExitStack() as stack:
        docker("network", "disconnect", "--force", network, container.id)
        while stack.enter_context(_somebody_else(container, network)) != before:
            pass  # until its old address is taken
        time.sleep(absent)
        docker("network", "connect", "--alias", container.service, network, container.id)
    return before, address(container, network)


def stop_and_remove(container: Container) -> int:
    """Stop a container as an operator does, and remove it; the exit status it had."""
    docker("stop", "--time", "30", container.id)
    code = exit_status(container)
    docker("rm", container.id)
    return code


def exit_status(container: Container) -> int:
    """What a container that has ended has ended with."""
    form = "{{.State.Status}} {{.State.ExitCode}}"
    status, code = docker("inspect", "--format", form, container.id).split()
    assert status == "exited", f"it is {status}"
    return int(code)


@contextmanager
def _somebody_else(container: Container, network: str) -> Iterator[str]:
    """Another container in a network; gives its address."""
    image = container.facts["Config"]["Image"]
    # Without --rm: where the engine and we remove it at once, it may stay in the network for good.
    run = ("run", "--detach", "--network", network, image, "sleep", "60")
    other = docker(*run).strip()
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    try:
        yield docker("inspect", "--format", form, other).strip()
    finally:
        docker("rm", "--force", other)


@contextmanager
def _rules(container: Container, *rules: tuple[str, ...]) -> Iterator[Beginning]:
    """Rules in its network, which must have caught packets by the end."""
    earliest = time.time()
    for rule in rules:
        _iptables(container, "-I", *rule)
    try:
        yield Beginning(earliest, time.time())
        assert _caught(container) > 0, "no packet was lost: there was no fault"
    finally:
        for rule in rules:
            _iptables(container, "-D", *rule)


def _caught(container: Container) -> int:
    listed = _iptables(container, "-L", "-n", "-v", "-x")
    return sum(int(packets) for packets in _DROPPED.findall(listed))


def _sent_slowly(container: Container) -> int:
    said = _in_network_of(container, "tc", "-s", "qdisc", "show", "dev", "eth0")
    return int(re.findall(r"Sent (\d+) bytes", said)[0])


def _iptables(container: Container, *arguments: str) -> str:
    return _in_network_of(container, "iptables", "--wait", *arguments)


def _in_network_of(container: Container, *command: str) -> str:
    """What a command of the host prints that acts in a container's network."""
    namespace = f"--net=/proc/{pid(container)}/ns/net"
    done = subprocess.run(
        ["nsenter", namespace, *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


@contextmanager
def short_of_memory(container: Container, megabytes: int) -> Iterator[None]:
    """Let it have so little."""
    limit = f"{megabytes}m"
    docker("update", "--memory", limit, "--memory-swap", limit, container.id)
    try:
        yield
    finally:
        docker("update", "--memory", "512m", "--memory-swap", "512m", container.id)


@contextmanager
def pinned(processor: int, *containers: Container) -> Iterator[None]:
    """Have them run on one processor only."""
    ids = [container.id for container in containers]
    docker("update", "--cpuset-cpus", str(processor), *ids)
    try:
        yield
    finally:
        docker("update", "--cpuset-cpus", f"0-{(os.cpu_count() or 1) - 1}", *ids)

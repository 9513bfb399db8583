"""A random schedule of faults, the same for the same seed, and what happened in it."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos import faults
from tests.chaos.faults import Direction
from tests.chaos.system import System
from tests.e2e.deployment import Container, docker

PAUSE = 3.0
"""Seconds between the end of a fault and the next one, on average."""


@dataclass(frozen=True)
class Happened:
    """A fault, and its span in seconds since the epoch."""

    fault: str
    began: float
    ended: float


def crash(system: System, chance: random.Random) -> None:
    """Kill one of any kind."""
    faults.kill(_any(system, chance))


def freeze(system: System, chance: random.Random) -> None:
    """Stop a Python program for a while, longer or shorter than it takes to notice."""
    with faults.frozen(_any(system, chance, "client-app", "slow-service")):
        time.sleep(chance.uniform(0.5, 6))


def cut_off(system: System, chance: random.Random) -> None:
    """Cut a service off, both ways or one."""
    ways: list[tuple[Direction, ...]] = [("to", "from"), ("to",), ("from",)]
    with faults.cut(_any(system, chance, "slow-service"), *chance.choice(ways)):
        time.sleep(chance.uniform(2, 6))


def reset(system: System, chance: random.Random) -> None:
    """Reset the connections of a service."""
    faults.reset_connections(_any(system, chance, "slow-service"))


def restart(system: System, chance: random.Random) -> None:
    """Restart one of any kind as an operator does."""
    docker("restart", "--time", "30", _any(system, chance).id)


def scale(system: System, chance: random.Random) -> None:
    """Have one to three of each Python program."""
    system.scale(slow_service=chance.randint(1, 3), client_app=chance.randint(1, 3))


def crash_while_frozen(system: System, chance: random.Random) -> None:
    """Freeze one service, and meanwhile kill another program."""
    with faults.frozen(_any(system, chance, "slow-service")):
        time.sleep(chance.uniform(0.5, 2))
        faults.kill(_any(system, chance, "client-app", "mongrel2"))
        time.sleep(chance.uniform(1, 3))


FAULTS: tuple[Callable[[System, random.Random], None], ...] = (
    crash,
    freeze,
    cut_off,
    reset,
    restart,
    scale,
    crash_while_frozen,
)


def run_schedule(system: System, seed: int, seconds: float) -> Iterator[Happened]:
    """Have faults happen for so long; gives each when it is over.

    All kinds come in random order before one comes again.
    """
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    while True:
        for fault in chance.sample(FAULTS, len(FAULTS)):
            time.sleep(chance.uniform(0.5, 1.5) * PAUSE)
            if time.monotonic() > end:
                return
            began = time.time()
            fault(system, chance)
            yield Happened(fault.__name__.replace("_", " "), began, time.time())


def _any(system: System, chance: random.Random, *services: str) -> Container:
    """One of the running containers of some services, or of all."""
    services = services or ("mongrel2", "client-app", "slow-service")
    return chance.choice(system.containers(chance.choice(services)))

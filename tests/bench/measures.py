"""What is measured: each measure runs a system's processes once and returns its figures."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.processes import MeasureFailedError, module, running
from tests.bench.programs.load import Load
from tests.bench.systems import System
from tests.bench.web import pages, wrk

Figures = dict[str, Any]
WARM_UP = 0.5
CLIENT_START_LIMIT = 20.0
SLOW_SECONDS = 5.0
PAGE_CONNECTIONS = 64


@dataclass(frozen=True)
class Bench:
    """Where processes put their files, and seconds each timed measure lasts."""

    folder: Path
    seconds: float


@dataclass(frozen=True)
class Measure:
    """A measure by name. `ours_only`: peers and floors are not asked. `long`: peers once."""

    name: str
    run: Callable[[Bench, System], Figures]
    ours_only: bool = False
    long: bool = False
    quick: bool = False

    def asks(self, system: System, round_number: int) -> bool:
        """Whether a system is measured in a round."""
        if self.ours_only:
            return system.program == "ours"
        return not (self.long and system.peer and round_number > 1)


def shown(figures: Figures) -> str:
    """The figures of one measure in a line."""
    words = [f"{figures['rate']:,.0f}/s"]
    if figures.get("percentiles"):
        words.append(f"p50 {figures['percentiles'][50] * 1000:.2f} ms")
    if "cpu_per_call" in figures:
        words.append(f"CPU {figures['cpu_per_call'] * 1e6:.0f} µs")
    if figures.get("failed"):
        words.append(f"{figures['failed']} failed")
    return ", ".join(words)


def call(bench: Bench, system: System, load: Load, limit: float = 0.0) -> Figures:
    """What one client process saw."""
    asked = {name: value for name, value in asdict(load).items() if name != "payload"}
    command = module(system.python, f"{system.program}_client", json.dumps(asked))
    limit = limit or CLIENT_START_LIMIT + load.warm_up + load.seconds
    with running(command, bench.folder, system.environment) as process:
        output = process.wait_until_it_ends(limit)
    reports = [line for line in output.splitlines() if line.startswith('{"calls":')]
    if not reports:
        raise MeasureFailedError(f"the client reported nothing: {output[-500:]}")
    figures: Figures = json.loads(reports[-1])
    if not figures["calls"]:
        raise MeasureFailedError(f"no call went well: {figures['first_failure']}")
    return figures


def calls(at_once: int, size: int = 70) -> Callable[[Bench, System], Figures]:
    """Calls that are answered at once, so many at a time."""

    def run(bench: Bench, system: System) -> Figures:
        with system.service(bench.folder) as (address, service):
            before = service.cpu()
            figures = call(bench, system, Load(address, at_once, bench.seconds, WARM_UP, size))
            cpu = figures["cpu"] + service.cpu() - before
        return figures | {"cpu_of_both": cpu / figures["ended"]}

    return run


def waiting(at_once: int) -> Callable[[Bench, System], Figures]:
    """So many calls at once of a handler that takes five seconds; each worker calls once."""

    def run(bench: Bench, system: System) -> Figures:
        with system.service(bench.folder, SLOW_SECONDS) as (address, service):
            service.forget_memory_peak()
            before = service.memory()
            figures = call(bench, system, Load(address, at_once), limit=90.0)
            growth = service.memory_peak() - before
        return figures | {
            "times_handler": figures["wall"] / SLOW_SECONDS,
            "client_bytes": figures["memory_growth"] / at_once,
            "service_bytes": growth / at_once,
        }

    return run


def replicas(number: int) -> Callable[[Bench, System], Figures]:
    """CPU-bound calls, shared out to so many service processes."""

    def run(bench: Bench, system: System) -> Figures:
        with ExitStack() as stack:
            services = [stack.enter_context(system.service(bench.folder)) for _ in range(number)]
            addresses = ",".join(address for address, _ in services)
            load = Load(addresses, 8, bench.seconds, WARM_UP, path="/burn")
            return call(bench, system, load)

    return run


def endpoints(number: int, at_once: int) -> Callable[[Bench, System], Figures]:
    """Calls to a service with so many replicas (all in one process: the caller's cost counts)."""

    def run(bench: Bench, system: System) -> Figures:
        with system.service(bench.folder, addresses=number) as (addresses, _):
            return call(bench, system, Load(addresses, at_once, bench.seconds, WARM_UP))

    return run


def in_flight(held: int) -> Callable[[Bench, System], Figures]:
    """Calls, 10 at once, while so many others wait for their answers."""

    def run(bench: Bench, system: System) -> Figures:
        with system.service(bench.folder) as (address, _):
            return call(bench, system, Load(address, 10, bench.seconds, WARM_UP, held=held))

    return run


def page(path: str) -> Callable[[Bench, System], Figures]:
    """Pages from 64 connections, by wrk."""

    def run(bench: Bench, system: System) -> Figures:
        with (
            system.service(bench.folder) as (address, service),
            pages(system, bench.folder, address) as (url, application),
        ):
            wrk(url + path, PAGE_CONNECTIONS, 1, bench.folder)  # warms up
            before = service.cpu() + application.cpu()
            figures = wrk(url + path, PAGE_CONNECTIONS, bench.seconds, bench.folder)
            cpu = service.cpu() + application.cpu() - before
        return figures | {"cpu_of_both": cpu / max(1, figures["pages"])}

    return run


CONCURRENCIES = (1, 4, 16, 64, 256, 1024)
MEASURES = (
    *(Measure(f"calls-{n}", calls(n), quick=n in {1, 64}) for n in CONCURRENCIES),
    Measure("large-16", calls(16, 65_536), quick=True),
    Measure("pages", page(""), quick=True),
    Measure("pages-plain", page("plain"), quick=True),
    Measure("waiting-1000", waiting(1000), long=True),
    Measure("waiting-5000", waiting(5000), long=True),
    Measure("waiting-20000", waiting(20_000), long=True, ours_only=True),
    *(Measure(f"replicas-{n}", replicas(n), ours_only=True) for n in (1, 2)),
    *(
        Measure(f"endpoints-{n}-at-{at}", endpoints(n, at), ours_only=True)
        for at in (1, 64)
        for n in (1, 10, 100)
    ),
    *(Measure(f"in-flight-{n}", in_flight(n - 10), ours_only=True) for n in (10, 1000, 20_000)),
)

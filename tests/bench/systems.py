"""What is compared: each system's programs, and how they are run."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import (
    OUR_PYTHON,
    PEERS_PYTHON,
    Process,
    address_of,
    module,
    new_ports,
    running,
)
from tests.ports import free_port


@dataclass(frozen=True)
class System:
    """One row of the table. `programs/PROGRAM_service.py` and its like are what it runs."""

    name: str
    program: str
    peer: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    web_server: str = "mongrel2"
    pages: str = ""
    receiver_port: int = 0
    """Where its traces go, if it makes any."""

    @property
    def pages_program(self) -> str:
        """The program of its pages, `programs/PAGES_pages.py`: as a rule its own."""
        return f"{self.pages or self.program}_pages"

    @property
    def python(self) -> str:
        """The interpreter its programs run in."""
        return PEERS_PYTHON if self.peer else OUR_PYTHON

    @contextlib.contextmanager
    def service(
        self, folder: Path, seconds: float = 0.0, addresses: int = 1
    ) -> Iterator[tuple[str, Process]]:
        """Its service, running: the address (several, with commas, of ours only) and process."""
        ports = new_ports(addresses)
        address = ",".join(map(address_of, ports))
        command = module(self.python, f"{self.program}_service", address, f"{seconds:g}")
        with contextlib.ExitStack() as stack:
            if self.receiver_port:
                receiver = module(OUR_PYTHON, "receiver", str(self.receiver_port))
                stack.enter_context(running(receiver, folder, port=self.receiver_port))
            process = stack.enter_context(running(command, folder, self.environment))
            for port in ports:
                process.wait_until_it_listens(port)
            yield address, process


RECEIVER_PORT = free_port()
OURS = System("ours", "ours", environment={"LOG_LEVEL": "INFO", "LOG_FORMAT": "json"})
OURS_QUIET = System(
    "ours-quiet", "ours", environment={"LOG_LEVEL": "WARNING", "LOG_FORMAT": "json"}
)
OURS_TRACED = System(
    "ours-traced",
    "ours",
    environment={
        **OURS.environment,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{RECEIVER_PORT}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    },
    receiver_port=RECEIVER_PORT,
)
"""One trace of a hundred is kept, and sent to a receiver."""
OURS_MEASURED = System(
    "ours-metrics",
    "ours",
    environment={"LOG_LEVEL": "INFO", "LOG_FORMAT": "json", "METRICS": "on"},
)
FLOORS = (System("floor", "floor"), System("floor-asyncio", "floor_asyncio"))
"""Bare pyzmq: blocking, and on asyncio. No security, no deadlines, no routes."""
PEERS = (
    System("Pyro5", "pyro5", peer=True, web_server="gunicorn"),
    System("RPyC", "rpyc", peer=True, web_server="gunicorn"),
    System("RPyC gevent", "rpyc_gevent", peer=True, web_server="gunicorn", pages="rpyc"),
    System("Pyro5 gevent", "pyro5_gevent", peer=True, web_server="gunicorn", pages="pyro5"),
    System("gRPC asyncio", "grpc_aio", peer=True, web_server="uvicorn"),
    System("zerorpc", "zerorpc", peer=True, web_server="gunicorn"),
    System("gRPC gevent", "grpc_gevent", peer=True, web_server="gunicorn"),
    System("Celery + Redis", "celery", peer=True, web_server="gunicorn"),
)
"""Others, each as it is at its best, some in two ways; none of them encrypts."""

"""Services, callers and peers that a test starts, and that are gone after it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from brubeckservice import service_connection
from tests.integration.calls.instances import Caller, Service, free_address
from tests.integration.calls.raw_peers import RawCaller, RawService
from tests.integration.calls.relay import Relay
from tests.integration.programs import Program, python_program

PROGRAM = Path(__file__).parent / "service_program.py"


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """What ends with the test, the last thing first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["tcp", "ipc"])
def addr(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A free address, of either transport."""
    return free_address() if request.param == "tcp" else f"ipc://{tmp_path}/service"


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Starts a `Service` in this process."""
    services: list[Service] = []

    def serve(*arguments: Any, **options: Any) -> Service:
        services.append(Service(*arguments, **options))
        return services[-1]

    yield serve
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_connection, "NOTICE", 0)  # the test is over: nobody is to know
        for service in services:
            service.stop()


@pytest.fixture
def serve_apart(started: ExitStack, tmp_path: Path) -> Callable[..., tuple[str, Program]]:
    """Starts `service_program` as a process: its address, and the process."""

    def serve_apart(**environment: str) -> tuple[str, Program]:
        addr = free_address()
        folder = tmp_path / addr.rpartition(":")[2]
        folder.mkdir()
        program = started.enter_context(python_program(PROGRAM, folder, ADDR=addr, **environment))
        program.wait_until_it_says("listens")
        return addr, program

    return serve_apart


@pytest.fixture
def new_caller(started: ExitStack) -> Callable[..., Caller]:
    """Makes a `Caller`; none of its calls may be left over."""

    def new_caller(*arguments: Any, **options: Any) -> Caller:
        caller = Caller(*arguments, **options)
        started.callback(caller.close)
        return caller

    return new_caller


@pytest.fixture
def caller(new_caller: Callable[..., Caller]) -> Caller:
    """A caller without handlers for responses."""
    return new_caller()


@pytest.fixture
def raw_caller(started: ExitStack) -> Callable[..., RawCaller]:
    """Makes a `RawCaller`."""

    def raw_caller(*arguments: Any, **options: Any) -> RawCaller:
        peer = RawCaller(*arguments, **options)
        started.callback(peer.close)
        return peer

    return raw_caller


@pytest.fixture
def raw_service(started: ExitStack) -> Callable[..., RawService]:
    """Starts a `RawService`."""

    def raw_service(*arguments: Any, **options: Any) -> RawService:
        peer = RawService(*arguments, **options)
        started.callback(peer.close)
        return peer

    return raw_service


@pytest.fixture
def relay(started: ExitStack) -> Callable[[str], Relay]:
    """Puts a `Relay` before a service."""

    def relay(target: str) -> Relay:
        between = Relay(target)
        started.callback(between.close)
        return between

    return relay

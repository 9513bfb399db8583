"""Real programs for integration tests. The fixtures end what was started and fail on leaks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import Program, python_program
from tests.integration.real_mongrel2 import Mongrel2, need_mongrel2
from tests.integration.web import WEB_APP, Web, behind


@pytest.fixture
def start_mongrel2(tmp_path: Path) -> Iterator[Callable[..., Mongrel2]]:
    """Starts a `Mongrel2` with the options given."""
    need_mongrel2()
    with ExitStack() as started:

        def start(**options: Any) -> Mongrel2:
            return started.enter_context(Mongrel2(tmp_path / "mongrel2", **options))

        yield start


@pytest.fixture
def mongrel2(start_mongrel2: Callable[..., Mongrel2]) -> Mongrel2:
    """A Mongrel2 as the deployment has it: tnetstring headers, a fresh ident at every start."""
    return start_mongrel2()


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a Python program: `start_python(path, NAME=value, …)` with environment variables."""
    with ExitStack() as started:

        def start(path: Path, **environment: str) -> Program:
            return started.enter_context(python_program(path, tmp_path, **environment))

        yield start


@pytest.fixture(scope="module")
def running_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The application behind a Mongrel2; no request of it may take longer than 3 s."""
    need_mongrel2()
    folder = tmp_path_factory.mktemp("web")
    with (
        Mongrel2(folder / "mongrel2") as mongrel2,
        python_program(WEB_APP, folder, REQUEST_TIMEOUT="3", **behind(mongrel2)) as app,
    ):
        mongrel2.wait_for_application("/echo")
        yield Web(mongrel2, app)


@pytest.fixture
def web(running_web: Web) -> Mongrel2:
    """A Mongrel2 with the application behind it."""
    return running_web.mongrel2

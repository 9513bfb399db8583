"""Where something else listens, an application says so, is not well, and goes on trying."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.real_mongrel2 import Mongrel2
from tests.integration.web import WEB_APP, behind
from tests.ports import free_port
from tests.waiting import eventually

StartPython = Callable[..., Program]


def health_at(port: int) -> str:
    """What a health check reads; nothing if nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as check:
            return check.recv(1000).decode().strip()
    except ConnectionError:
        return ""


@pytest.mark.parametrize(
    ("pull", "pub", "health"),
    [
        ("pub_addr", "pull_addr", "Mongrel2 has not subscribed"),
        ("pull_addr", "pull_addr", "Mongrel2 has not subscribed"),
        ("pub_addr", "pub_addr", "Mongrel2 sends no requests"),
    ],
    ids=["swapped", "only that for requests", "only that for answers"],
)
def test_an_application_with_the_wrong_addresses_of_mongrel2_says_so_and_is_not_well(
    mongrel2: Mongrel2, start_python: StartPython, pull: str, pub: str, health: str
) -> None:
    addresses = {"PULL_ADDR": getattr(mongrel2, pull), "PUB_ADDR": getattr(mongrel2, pub)}
    port = free_port()

    app = start_python(WEB_APP, **behind(mongrel2) | addresses, HEALTH_PORT=str(port))

    wrong = mongrel2.pull_addr if health.endswith("subscribed") else mongrel2.pub_addr
    app.wait_until_it_says(f"{wrong} takes the connection and ends it: another address?", seconds=5)
    eventually(lambda: health_at(port) == health, health, seconds=5)
    assert "Traceback" not in app.said


def test_an_application_that_met_something_else_serves_when_mongrel2_is_there(
    tmp_path: Path, mongrel2: Mongrel2, start_python: StartPython
) -> None:
    swapped = {"PULL_ADDR": mongrel2.pub_addr, "PUB_ADDR": mongrel2.pull_addr}
    port = free_port()
    app = start_python(WEB_APP, **behind(mongrel2) | swapped, HEALTH_PORT=str(port))
    app.wait_until_it_says("another address?", seconds=5)

    mongrel2.stop()
    with Mongrel2(
        tmp_path / "another", min_ping=2, pull_addr=mongrel2.pub_addr, pub_addr=mongrel2.pull_addr
    ) as other:
        other.wait_for_application("/echo")
        assert health_at(port) == "ok"
        assert other.ask("/echo?say=patience&seconds=5").text == "patience"


def test_an_application_is_well_while_mongrel2_is_there(
    mongrel2: Mongrel2, start_python: StartPython
) -> None:
    port = free_port()
    app = start_python(WEB_APP, **behind(mongrel2), HEALTH_PORT=str(port))
    eventually(lambda: health_at(port) == "ok", "it is well", seconds=10)

    mongrel2.kill()
    eventually(lambda: health_at(port) == "Mongrel2 has not subscribed", "it is not", seconds=5)

    mongrel2.start()
    eventually(lambda: health_at(port) == "ok", "it is well again", seconds=5)
    assert "another address?" not in app.said

import socket
from collections.abc import Iterator

import pytest

from brubeck.environment import SettingError
from brubeck.health import HEALTHY, serve_health
from tests.ports import free_port


class Patient:
    state = HEALTHY


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
def port(patient: Patient) -> Iterator[int]:
    port = free_port()
    server = serve_health(port, lambda: patient.state)
    yield port
    server.stop()


def line_from(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return connection.makefile().read()


def test_who_connects_reads_the_state_of_the_moment(patient: Patient, port: int) -> None:
    assert line_from(port) == "ok\n"
    patient.state = "Mongrel2 has not subscribed"
    assert line_from(port) == "Mongrel2 has not subscribed\n"


# gevent leaves the socket that could not listen to the collector of garbage
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_port_that_is_taken_ends_the_program_with_a_sentence(port: int) -> None:
    with pytest.raises(SettingError, match="health_port"):
        serve_health(port, str)


def test_who_connects_and_says_nothing_delays_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        assert line_from(port) == "ok\n"

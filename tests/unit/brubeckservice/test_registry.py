from typing import Any

import gevent
import pytest

from brubeckservice.registry import Services
from tests.unit.brubeckservice.fakes import FakeConnection, fake_connections

ADDR = "tcp://127.0.0.1:9000"
PASSPHRASE = "a passphrase that shows nowhere"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeConnection]:
    return fake_connections(monkeypatch)


def test_a_registered_service_has_one_connection_shared_by_all(made: list[FakeConnection]) -> None:
    resources: dict[Any, Any] = {}
    one, another = Services(resources), Services(resources)
    one.register(ADDR, PASSPHRASE)

    assert one.open(ADDR) is another.open(ADDR)
    assert len(made) == 1
    assert list(resources.values()) == made


def test_to_register_again_changes_nothing(made: list[FakeConnection]) -> None:
    services = Services({})
    for _ in range(3):
        services.register(ADDR, PASSPHRASE)

    assert len(made) == 1


def test_several_addresses_are_one_service(made: list[FakeConnection]) -> None:
    services = Services({})
    services.register(["tcp://a:1", "tcp://b:2"], PASSPHRASE)
    services.register(("tcp://a:1", "tcp://b:2"), PASSPHRASE)
    services.register("tcp://a:1", PASSPHRASE)

    assert [connection.addr for connection in made] == [["tcp://a:1", "tcp://b:2"], "tcp://a:1"]


def test_a_kept_connection_stays_open_between_calls(made: list[FakeConnection]) -> None:
    services = Services({})
    services.register(ADDR, PASSPHRASE)

    services.done_with(services.open(ADDR))

    assert not made[0].closed


def test_no_service_is_registered_in_another_thread_and_it_can_be_in_this_one(
    made: list[FakeConnection],
) -> None:
    services = Services({})

    with pytest.raises(RuntimeError, match="another thread"):
        gevent.get_hub().threadpool.apply(services.register, (ADDR, PASSPHRASE))

    assert made == []
    services.register(ADDR, PASSPHRASE)
    opened: Any = services.open(ADDR)
    assert made == [opened]


def test_without_a_place_to_keep_it_a_service_can_be_registered_in_any_thread(
    made: list[FakeConnection],
) -> None:
    services = Services(None)

    gevent.get_hub().threadpool.apply(services.register, (ADDR, PASSPHRASE))

    opened: Any = services.open(ADDR)
    assert made == [opened]


def test_without_a_place_to_keep_it_a_connection_lasts_one_call(made: list[FakeConnection]) -> None:
    services = Services(None)
    services.register(ADDR, PASSPHRASE)
    assert made == []

    for _ in range(2):
        services.done_with(services.open(ADDR))

    assert [connection.closed for connection in made] == [True, True]
    assert [connection.passphrase for connection in made] == [PASSPHRASE, PASSPHRASE]


@pytest.mark.parametrize("resources", [{}, None], ids=["kept", "not kept"])
def test_a_service_nobody_registered_is_an_error_that_says_so(
    resources: dict[Any, Any] | None,
) -> None:
    with pytest.raises(LookupError, match=f"{ADDR} is not registered"):
        Services(resources).open(ADDR)


@pytest.mark.parametrize("resources", [{}, None], ids=["kept", "not kept"])
def test_a_forgotten_service_is_closed_and_unknown(
    resources: dict[Any, Any] | None, made: list[FakeConnection]
) -> None:
    services = Services(resources)
    services.register(ADDR, PASSPHRASE)

    services.unregister(ADDR)
    services.unregister(ADDR)  # nothing happens if it is not known

    assert all(connection.closed for connection in made)
    with pytest.raises(LookupError):
        services.open(ADDR)


def test_a_wrong_address_is_refused_when_it_is_registered() -> None:
    with pytest.raises(ValueError, match="not a service address"):
        Services({}).register("http://127.0.0.1:9000", PASSPHRASE)


def test_nothing_that_is_kept_shows_the_passphrase() -> None:
    resources: dict[Any, Any] = {}
    services = Services(resources)
    services.register(ADDR, PASSPHRASE)
    try:
        for text in (repr(resources), str(resources), f"{resources}", repr(services)):
            assert PASSPHRASE not in text
        assert ADDR in repr(resources)
    finally:
        services.unregister(ADDR)

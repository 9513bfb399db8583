import socket
from typing import Any

import pytest

from brubeckservice.addresses import Address, parse_address, resolve


@pytest.mark.parametrize(
    ("addr", "address", "endpoint"),
    [
        ("tcp://127.0.0.1:9000", ("tcp", "127.0.0.1", 9000), "tcp://127.0.0.1:9000"),
        ("tcp://slow-service:9000", ("tcp", "slow-service", 9000), "tcp://slow-service:9000"),
        ("tcp://127.0.0.1:9999/my_service", ("tcp", "127.0.0.1", 9999), "tcp://127.0.0.1:9999"),
        ("tcp://127.0.0.1:9999/", ("tcp", "127.0.0.1", 9999), "tcp://127.0.0.1:9999"),
        ("tcp://h:1", ("tcp", "h", 1), "tcp://h:1"),
        ("tcp://h:65535", ("tcp", "h", 65535), "tcp://h:65535"),
        ("ipc://run/slow", ("ipc", "run/slow", 0), "ipc://run/slow"),
        ("ipc:///run/slow", ("ipc", "/run/slow", 0), "ipc:///run/slow"),
    ],
)
def test_an_address_is_tcp_or_ipc(addr: str, address: tuple[str, str, int], endpoint: str) -> None:
    assert parse_address(addr) == address
    assert parse_address(addr).endpoint == endpoint


@pytest.mark.parametrize(
    "addr",
    [
        "",
        "tcp://",
        "tcp://host",
        "tcp://host:",
        "tcp://:9000",
        "tcp://host:0",
        "tcp://slow..service:9000",
        "tcp://" + "long" * 16 + ":9000",
        "tcp://host:65536",
        "tcp://host:-1",
        "tcp://host:9000x",
        "tcp://host:٣",
        "tcp:/host:9000",
        "host:9000",
        "ipc://",
        "ipc:run/slow",
        "udp://host:9000",
        "inproc://here",
        "http://host:9000",
    ],
)
def test_anything_else_is_refused_and_shown(addr: str) -> None:
    with pytest.raises(ValueError, match="not a service address") as caught:
        parse_address(addr)
    assert repr(addr) in str(caught.value)


def found(*hosts: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 9000)) for host in hosts]


def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        asked.append((host, port, options["family"]))
        return found("10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3")

    monkeypatch.setattr("brubeckservice.addresses.socket.getaddrinfo", getaddrinfo)

    endpoints = resolve(Address("tcp", "slow-service", 9000))

    assert endpoints == {f"tcp://10.0.0.{number}:9000" for number in (1, 2, 3)}
    assert asked == [("slow-service", 9000, socket.AF_INET)]


def test_a_number_stands_for_itself() -> None:
    assert resolve(Address("tcp", "127.0.0.1", 9000)) == {"tcp://127.0.0.1:9000"}


def test_nobody_is_asked_about_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brubeckservice.addresses.socket.getaddrinfo", None)

    assert resolve(Address("ipc", "run/slow", 0)) == {"ipc://run/slow"}


def test_a_name_nobody_knows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("brubeckservice.addresses.socket.getaddrinfo", getaddrinfo)

    with pytest.raises(OSError, match="not known"):
        resolve(Address("tcp", "slow-service", 9000))

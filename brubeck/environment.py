"""Settings from environment variables: a missing or wrong one stops the start with its name."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T", int, float)

_ADDRESS = re.compile(r"tcp://(?P<host>[^/:\s]+):(?P<port>[0-9]{1,5})(/.*)?|ipc://.+")

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("text", "json")
MIN_SECRET_CHARACTERS = 16

PUBLISHED_SECRETS = frozenset(("my_shared_secret", "51cRa%76fa^O9h$4cwl$!@_F%g9%l_)-6OO1!"))
"""Secrets everybody can read in a README."""


class SettingError(SystemExit):
    """A setting is missing or wrong; ends the program with one sentence."""


def text(name: str, default: str | None = None) -> str:
    """The value of a variable.

    Raises:
        SettingError: if it is missing or empty and there is no default.
    """
    value = os.environ.get(name) or default
    if value is None:
        raise SettingError(f"{name} is not set")
    return value


def address(name: str) -> str:
    """A ZeroMQ address: `tcp://host:port` or `ipc://path`.

    Raises:
        SettingError: if it is missing, or not an address.
    """
    value = text(name)
    if not is_address(value):
        raise SettingError(f"{name} is {value!r}, not tcp://host:port or ipc://path")
    return value


def is_address(value: str) -> bool:
    """Whether a text is an address: `tcp://host:port`, maybe with a `/name`, or `ipc://path`."""
    match = _ADDRESS.fullmatch(value)
    if match is None:
        return False
    host, port = match["host"], match["port"]
    return host is None or (_may_be_a_host(host) and 0 < int(port) < 65536)


def port(name: str, default: int) -> int:
    """A port; 0 for none.

    Raises:
        SettingError: if it is neither.
    """
    number = integer(name, default, least=0)
    if number:
        check_port(name, number)
    return number


def check_port(name: str, port: int) -> None:
    """Make sure that a setting is a port.

    Raises:
        SettingError: if it is not.
    """
    if not 0 < port < 65536:
        raise SettingError(f"{name} is {port}, which is no port (1 to 65535)")


def number(name: str, default: float, *, least: float = 0.0) -> float:
    """A number, such as seconds.

    Raises:
        SettingError: if the value is no number, or less than `least`.
    """
    return _number(name, default, least, float)


def integer(name: str, default: int, *, least: int = 1) -> int:
    """A whole number.

    Raises:
        SettingError: if the value is no whole number, or less than `least`.
    """
    return _number(name, default, least, int)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of several words, whatever its case.

    Raises:
        SettingError: if the value is none of them.
    """
    value = text(name, default)
    for word in choices:
        if word.lower() == value.lower():
            return word
    raise SettingError(f"{name} is {value!r}, not one of {', '.join(choices)}")


def secret(name: str) -> str:
    """The first line of the file a variable names.

    Raises:
        SettingError: as `secrets`.
    """
    return secrets(name)[0]


def secrets(name: str) -> list[str]:
    """The lines of the file a variable names: a secret each, the one in use first.

    Raises:
        SettingError: if there is no such file, or a secret is short or published.
    """
    return read_secrets(name, text(name))


def read_secrets(name: str, path: str) -> list[str]:
    """The lines of a file: a secret each, the one in use first; errors call it `name`.

    Raises:
        SettingError: as `secrets`.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as error:
        raise SettingError(f"{name}: cannot read {path}: {type(error).__name__}") from None
    if min(map(len, lines)) < MIN_SECRET_CHARACTERS:
        raise SettingError(f"{name}: a secret is shorter than {MIN_SECRET_CHARACTERS} characters")
    if not PUBLISHED_SECRETS.isdisjoint(lines):
        raise SettingError(f"{name}: that secret is published; make one of your own")
    return lines


def is_weak(secret: str) -> bool:
    """Whether a secret is good for a demonstration only: it is short, or published."""
    return len(secret) < MIN_SECRET_CHARACTERS or secret in PUBLISHED_SECRETS


def _may_be_a_host(name: str) -> bool:
    """Whether it has a form that the name service can be asked about."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def _number(name: str, default: T, least: T, convert: Callable[[str], T]) -> T:
    value = os.environ.get(name)
    if not value:
        return default
    try:
        result = convert(value)
    except ValueError:
        raise SettingError(f"{name} is {value!r}, which is no number") from None
    if not least <= result < math.inf:  # nan is refused too
        raise SettingError(f"{name} is {value}, not a finite number from {least} on")
    return result

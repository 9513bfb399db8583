"""Settings from the environment: a wrong one ends the program with its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brubeck import environment
from brubeck.environment import LOG_LEVELS, PUBLISHED_SECRETS, SettingError

SECRET = "correct horse battery staple"


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.delenv("SETTING", raising=False)
    return lambda value: monkeypatch.setenv("SETTING", value)


@pytest.fixture
def secret_file(setting: Callable[[str], None], tmp_path: Path) -> Callable[[bytes], None]:
    """Puts a secret where SETTING says."""

    def write(content: bytes) -> None:
        path = tmp_path / "secret"
        path.write_bytes(content)
        setting(str(path))

    return write


READERS: dict[str, Callable[[], Any]] = {
    "text": lambda: environment.text("SETTING"),
    "address": lambda: environment.address("SETTING"),
    "number": lambda: environment.number("SETTING", 30.0, least=0.1),
    "integer": lambda: environment.integer("SETTING", 100),
    "port": lambda: environment.port("SETTING", 9001),
    "choice": lambda: environment.choice("SETTING", "INFO", LOG_LEVELS),
    "secret": lambda: environment.secret("SETTING"),
}


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("text", "anything", "anything"),
        ("address", "tcp://slow-service:9000", "tcp://slow-service:9000"),
        ("address", "tcp://127.0.0.1:9000/name", "tcp://127.0.0.1:9000/name"),
        ("address", "tcp://*:9000", "tcp://*:9000"),
        ("address", "ipc://run/slow", "ipc://run/slow"),
        ("number", "0.5", 0.5),
        ("number", "30", 30.0),
        ("integer", "1", 1),
        ("port", "", 9001),
        ("port", "0", 0),
        ("port", "65535", 65535),
        ("choice", "debug", "DEBUG"),
        ("choice", "WARNING", "WARNING"),
    ],
)
def test_a_setting_and_its_value(
    setting: Callable[[str], None], reader: str, value: str, expected: Any
) -> None:
    setting(value)
    assert READERS[reader]() == expected


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize(
    ("reader", "default"), [("number", 30.0), ("integer", 100), ("choice", "INFO")]
)
def test_a_setting_that_is_missing_has_its_default(reader: str, default: Any) -> None:
    assert READERS[reader]() == default


@pytest.mark.parametrize(("reader", "default"), [("number", 30.0), ("choice", "INFO")])
def test_a_setting_that_is_empty_has_its_default(
    setting: Callable[[str], None], reader: str, default: Any
) -> None:
    setting("")
    assert READERS[reader]() == default


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize("reader", ["text", "address", "secret"])
def test_a_setting_without_a_default_that_is_missing_ends_the_program_with_its_name(
    reader: str,
) -> None:
    with pytest.raises(SettingError, match="SETTING is not set"):
        READERS[reader]()


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("address", "slow-service:9000"),
        ("address", "tcp://slow-service"),
        ("address", "tcp://:9000"),
        ("address", "tcp://slow-service:port"),
        ("address", "tcp://slow-service:0"),
        ("address", "tcp://slow-service:65536"),
        ("address", "tcp://slow..service:9000"),
        ("address", "tcp://slow service:9000"),
        ("address", "tcp://slow-service:9000\n"),
        ("address", "http://slow-service:9000"),
        ("address", "ipc://"),
        ("number", "soon"),
        ("number", "0"),
        ("number", "-1"),
        ("number", "inf"),
        ("number", "nan"),
        ("integer", "1.5"),
        ("integer", "0"),
        ("integer", "many"),
        ("port", "-1"),
        ("port", "65536"),
        ("port", "http"),
        ("choice", "LOUD"),
        ("secret", "/no/such/file"),
        ("secret", "/"),
        ("secret", "\n"),
    ],
)
def test_a_wrong_setting_ends_the_program_with_its_name(
    setting: Callable[[str], None], reader: str, value: str
) -> None:
    setting(value)
    with pytest.raises(SettingError, match=r"^SETTING") as ended:
        READERS[reader]()
    assert isinstance(ended.value, SystemExit)
    assert isinstance(ended.value.code, str), "the program ends with a sentence, and status 1"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (SECRET.encode(), SECRET),
        (SECRET.encode() + b"\n", SECRET),
        (SECRET.encode() + b"\n\n", SECRET),
        ("äöü äöü äöü äöü äöü".encode(), "äöü äöü äöü äöü äöü"),
        (b"0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_a_secret_is_what_its_file_holds(
    secret_file: Callable[[bytes], None], content: bytes, secret: str
) -> None:
    secret_file(content)
    assert environment.secret("SETTING") == secret


def test_a_file_may_hold_several_secrets_the_one_in_use_first(
    secret_file: Callable[[bytes], None],
) -> None:
    secret_file(f"{SECRET}\nthe secret before it\n".encode())
    assert environment.secrets("SETTING") == [SECRET, "the secret before it"]
    assert environment.secret("SETTING") == SECRET


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"0123456789abcde",
        b"0123456789abcde\n",
        *(secret.encode() for secret in sorted(PUBLISHED_SECRETS)),
        f"{SECRET}\nshort".encode(),
        f"{SECRET}\nmy_shared_secret".encode(),
        b"not UTF-8: \xff\xfe" + SECRET.encode(),
    ],
)
def test_a_secret_that_is_short_published_or_unreadable_ends_the_program_without_showing_it(
    secret_file: Callable[[bytes], None], content: bytes
) -> None:
    secret_file(content)
    with pytest.raises(SettingError, match=r"^SETTING") as ended:
        environment.secret("SETTING")
    said = f"{ended.value} {ended.value!r}"
    assert not content.strip() or content.decode("latin-1").strip() not in said
    assert SECRET not in said


def test_the_secrets_of_the_projects_origin_are_published() -> None:
    assert {"my_shared_secret", "51cRa%76fa^O9h$4cwl$!@_F%g9%l_)-6OO1!"} <= PUBLISHED_SECRETS

"""`brubeck-service`, as people run it in a terminal."""

import json
import os
import pty
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, NamedTuple

import gevent
import pytest
from gevent import subprocess

from brubeck import __version__
from brubeckservice.base import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceMessageHandler,
    ServiceProtocolError,
    ServiceRefused,
    ServiceResponse,
    ServiceTimeout,
    ServiceUnavailable,
)
from brubeckservice.command_line import EXIT_STATUS
from tests.integration.calls.instances import ECHO, PASSPHRASE, Service, free_address
from tests.integration.calls.raw_peers import RawService
from tests.needs import ROOT
from tests.waiting import eventually

Serve = Callable[..., Service]
COMMAND = [sys.executable, "-m", "brubeckservice.command_line"]


class Slow(ServiceMessageHandler):
    """Comes to its end in steps."""

    def request(self) -> ServiceResponse:
        for step in range(3):
            self.progress(step / 3, f"step {step}")
            gevent.sleep(0.1)
        return self.render(200)


class Fails(ServiceMessageHandler):
    """Has a mistake."""

    def request(self) -> ServiceResponse:
        raise LookupError("a mistake")


ROUTES = [*ECHO, (r"^/slow$", Slow), (r"^/fails$", Fails)]


class Ended(NamedTuple):
    """How the command ended."""

    status: int
    printed: str
    complained: str


class Terminal:
    """Somebody who knows the passphrase, and types."""

    def __init__(self, folder: Path) -> None:
        self.passphrase_file = folder / "passphrase"
        self.passphrase_file.write_text(PASSPHRASE)

    def run(self, *arguments: str, **options: Any) -> Ended:
        """Run the command to its end."""
        environment = os.environ | {"SERVICE_PASSPHRASE_FILE": str(self.passphrase_file)}
        usual: dict[str, Any] = {
            "cwd": ROOT,
            "env": environment,
            "stdout": PIPE,
            "stderr": PIPE,
            "text": True,
        }
        command: subprocess.Popen[str] = subprocess.Popen(
            [*COMMAND, *arguments], **(usual | options)
        )
        with gevent.Timeout(30):
            printed, complained = command.communicate()
        return Ended(command.returncode, printed or "", complained or "")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def service(serve: Serve) -> Service:
    return serve(ROUTES)


# call


def test_a_call_prints_the_payload_of_its_answer(terminal: Terminal, service: Service) -> None:
    ended = terminal.run("call", service.addr, "/echo", "text=1", "sum=a=b", "numbers:=[1, {}]")

    assert ended.status == 0
    assert json.loads(ended.printed) == {"text": "1", "sum": "a=b", "numbers": [1, {}]}
    assert ended.complained == "200 echoed\n"


def test_a_call_can_print_all_of_its_answer_as_json(terminal: Terminal, service: Service) -> None:
    ended = terminal.run("call", "--json", service.addr, "/echo", "a=ü")

    answer = json.loads(ended.printed)
    assert (answer["status_code"], answer["body"]) == (200, {"a": "ü"})
    assert answer["request_id"]
    assert ended.complained == ""


def test_a_call_that_does_not_wait_prints_its_id_at_once(
    terminal: Terminal, service: Service
) -> None:
    ended = terminal.run("call", "--nowait", service.addr, "/echo", "a=1")

    first, _, rest = ended.printed.partition("\n")
    assert first.startswith("calling, as ")
    assert json.loads(rest) == {"a": "1"}


def test_where_json_is_wanted_the_id_is_not_in_its_way(
    terminal: Terminal, service: Service
) -> None:
    ended = terminal.run("call", "--nowait", "--json", service.addr, "/echo")

    answer = json.loads(ended.printed)
    assert ended.complained == f"calling, as {answer['request_id']}\n"


def test_options_may_stand_anywhere(terminal: Terminal, service: Service) -> None:
    ended = terminal.run("call", service.addr, "--json", "/echo", "a=1", "--timeout", "9", "b=2")

    assert ended.status == 0, ended.complained
    assert json.loads(ended.printed)["body"] == {"a": "1", "b": "2"}


def test_a_method_can_be_chosen(terminal: Terminal, service: Service) -> None:
    assert "405" in terminal.run("call", "--method", "get", service.addr, "/echo").complained


@pytest.mark.parametrize(("path", "status_code"), [("/fails", 500), ("/nowhere", 404)])
def test_an_answer_that_is_an_error_is_a_failure(
    terminal: Terminal, service: Service, path: str, status_code: int
) -> None:
    ended = terminal.run("call", service.addr, path)

    assert ended.status == 1
    assert ended.complained.startswith(str(status_code))


def test_progress_is_drawn_where_somebody_looks(terminal: Terminal, service: Service) -> None:
    screen, theirs = pty.openpty()
    ended = terminal.run("call", service.addr, "/slow", stderr=theirs)
    os.close(theirs)
    seen = os.read(screen, 10_000).decode()
    os.close(screen)

    assert ended.status == 0
    assert "[..............................]   0% step 0" in seen
    assert "[####################..........]  67% step 2" in seen
    assert seen.endswith("\r\x1b[K200 OK\r\n"), "nothing of it is left"


def test_the_page_has_the_exit_statuses() -> None:
    page = (ROOT / "docs/command-line.md").read_text()
    shown = {
        error: int(status) for status, error in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.M)
    }

    assert shown == {error.__name__: status for error, status in EXIT_STATUS.items()}


def test_each_error_has_an_exit_status_of_its_own() -> None:
    def kinds(error: type[ServiceError]) -> set[type[ServiceError]]:
        return {error}.union(*map(kinds, error.__subclasses__()))

    assert EXIT_STATUS.keys() == kinds(ServiceError) - {ServiceError}
    assert len({0, 1, os.EX_USAGE, *EXIT_STATUS.values()}) == 3 + len(EXIT_STATUS)


def silent(_: Any) -> list[Any]:
    return []


def refuses(call: Any) -> list[Any]:
    return [["refused", call[1], "overloaded"]]


def says_goodbye(_: Any) -> list[Any]:
    return [["goodbye", "enough"]]


def answers_about_something_else(call: Any) -> list[Any]:
    return [["response", call[1], 200, "OK", "/elsewhere"]]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (silent, ServiceTimeout),
        (refuses, ServiceRefused),
        (says_goodbye, ServiceLost),
        (answers_about_something_else, ServiceProtocolError),
    ],
)
def test_a_call_without_an_answer_says_why(
    terminal: Terminal, raw_service: Callable[..., RawService], answer: Any, error: Any
) -> None:
    ended = terminal.run("call", "--timeout", "5", raw_service(answer).addr, "/p")

    assert ended.status == EXIT_STATUS[error]
    assert ended.complained.startswith(f"{error.__name__}: ")
    assert ended.printed == ""


def test_where_nobody_is_there_all_commands_say_so(terminal: Terminal) -> None:
    for command in (["call", free_address(), "/p"], ["ping", free_address()]):
        ended = terminal.run(*command)
        assert ended.status == EXIT_STATUS[ServiceUnavailable]
        assert "ServiceUnavailable: " in ended.complained


# ping and top


def test_a_ping_prints_how_each_replica_is(terminal: Terminal, serve: Serve) -> None:
    service = serve(max_in_flight=7)
    ended = terminal.run("ping", service.addr)

    heading, line = ended.printed.splitlines()
    assert ended.status == 0
    assert heading.split() == ["ENDPOINT", "REPLICA", "STATE", "SOFTWARE", "CALLS", "ROUND", "TRIP"]
    assert line.split()[:8] == [
        service.addr,
        service.connection.instance,
        "ready",
        "brubeck-services",
        __version__,
        "0",
        "of",
        "7",
    ]
    assert line.endswith(" ms")


def test_a_ping_can_be_read_by_programs(terminal: Terminal, service: Service) -> None:
    (state,) = json.loads(terminal.run("ping", "--json", service.addr).printed)

    assert (state["endpoint"], state["state"]) == (service.addr, "ready")
    assert 0 < state["round_trip"] < 5


def test_a_ping_takes_no_longer_than_it_may(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # nobody accepts, or says anything
        addr = f"tcp://127.0.0.1:{frozen.getsockname()[1]}"
        ended = terminal.run("ping", "--timeout", "2", addr)

    assert ended.status == EXIT_STATUS[ServiceUnavailable]
    assert "connecting" in ended.printed
    assert "no welcome" not in ended.complained, "it waited until there could be none"


def test_a_service_that_stops_is_seen_draining(terminal: Terminal, serve: Serve) -> None:
    service = serve(drain_timeout=15)
    answer = gevent.spawn(terminal.run, "call", service.addr, "/echo", "seconds:=8")
    eventually(lambda: service.in_hand == 1, "the call is in hand", seconds=20)
    top = gevent.spawn(
        terminal.run, "top", "--json", "--interval", "0.1", "--times", "30", service.addr
    )
    eventually(lambda: service.callers == 2, "somebody looks", seconds=20)
    gevent.sleep(0.5)  # in which it is seen to be ready
    service.begin_to_stop()

    states = [json.loads(line)[0]["state"] for line in top.get(timeout=20).printed.splitlines()]
    assert {"ready", "draining"} <= set(states)
    assert answer.get(timeout=20).status == 0


def test_top_prints_until_it_is_told_to_end(terminal: Terminal, service: Service) -> None:
    ended = terminal.run("top", "--interval", "0.1", "--times", "3", service.addr)

    assert ended.status == 0
    assert ended.printed.count("ENDPOINT") == ended.printed.count(" ready ") == 3


# The passphrase


def test_another_passphrase_is_told(terminal: Terminal, service: Service, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another passphrase, of somebody else")

    ended = terminal.run("ping", "--passphrase-file", str(other), service.addr)

    assert ended.status == EXIT_STATUS[ServiceAuthError]
    assert "another passphrase?" in ended.complained
    assert "somebody else" not in ended.complained + ended.printed


def test_without_a_file_the_passphrase_is_asked_for(terminal: Terminal, service: Service) -> None:
    ours, theirs = pty.openpty()

    def keep_typing() -> None:
        while True:  # what is typed before it is asked for is thrown away
            gevent.sleep(1)
            os.write(ours, f"{PASSPHRASE}\n".encode())

    typing = gevent.spawn(keep_typing)
    ended = terminal.run(
        "ping", service.addr, env={"PATH": os.environ["PATH"]}, stdin=theirs, start_new_session=True
    )
    typing.kill()
    os.close(theirs)
    os.close(ours)

    assert ended.status == 0
    assert "passphrase: " in ended.complained
    assert PASSPHRASE not in ended.complained + ended.printed


def test_where_nobody_types_the_passphrase_that_is_told(terminal: Terminal) -> None:
    ended = terminal.run(
        "ping",
        free_address(),
        env={"PATH": os.environ["PATH"]},
        stdin=DEVNULL,
        start_new_session=True,
    )

    assert ended.status == os.EX_USAGE
    assert ended.complained.endswith("brubeck-service: no passphrase was given\n")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required"),
        (["dance"], "invalid choice"),
        (["call", "tcp://localhost:9000"], "PATH"),
        (["call", "localhost", "/p"], "not a service address: 'localhost'"),
        (["call", "tcp://localhost:9000", "/p", "word"], "'word' is not key=text or key:=json"),
        (["call", "tcp://localhost:9000", "/p", "n:=one"], "'n:=one': "),
        (["ping", "--timeout", "inf", "tcp://localhost:9000"], "'inf' is no number of seconds"),
        (["top", "--interval", "-1", "tcp://localhost:9000"], "'-1' is no number of seconds"),
        (["ping", "--passphrase-file", "/nowhere", "tcp://localhost:9000"], "cannot read /nowhere"),
        (["call", "--method", "dance", "tcp://localhost:9000", "/p"], "no method of services"),
    ],
)
def test_a_mistake_is_told(terminal: Terminal, arguments: list[str], complaint: str) -> None:
    ended = terminal.run(*arguments)

    assert ended.status == os.EX_USAGE
    assert complaint in ended.complained
    assert "Traceback" not in ended.complained


def test_the_help_has_examples(terminal: Terminal) -> None:
    ended = terminal.run("--help")

    assert ended.status == 0
    assert "brubeck-service ping tcp://slow-service:9000" in ended.printed

"""`brubeck-service`: calls services, and looks at their replicas, from a terminal."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

import argparse
import getpass
import itertools
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import gevent
from msgspec import structs

from brubeck import environment
from brubeck import __version__
from brubeckservice.client import ServiceClientMixin
from brubeckservice.client_connection import ServiceClientConnection
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
    ServiceUnavailable,
)
from brubeckservice.protocol import ServiceResponse
from brubeckservice.replicas import ReplicaState

FAILED = 1
"""The exit status where the service answered with an error."""

EXIT_STATUS: dict[type[ServiceError], int] = {
    ServiceUnavailable: os.EX_UNAVAILABLE,
    ServiceRefused: os.EX_TEMPFAIL,
    ServiceLost: os.EX_IOERR,
    ServiceProtocolError: os.EX_PROTOCOL,
    ServiceAuthError: os.EX_NOPERM,
    ServiceTimeout: 124,
}
"""The exit statuses of calls without an answer: those of sysexits(3), and that of timeout(1)."""

PASSPHRASE_VARIABLE = "SERVICE_PASSPHRASE_FILE"  # noqa: S105  # its name

EXAMPLES = f"""\
examples:
  brubeck-service ping tcp://slow-service:9000
  brubeck-service top tcp://slow-service:9000
  brubeck-service call tcp://slow-service:9000 /service/slow RETURN_DATA='a round trip'
  brubeck-service call --timeout 2 --json tcp://localhost:9000 /sum 'numbers:=[1, 2, 3]'

The passphrase is in the file that --passphrase-file or {PASSPHRASE_VARIABLE} names;
without one you are asked for it.

exit status: 0 answered; {FAILED} answered with an error; {os.EX_USAGE} wrong arguments;
  {", ".join(f"{status} {error.__name__}" for error, status in EXIT_STATUS.items())}
"""

BAR = 30
"""Characters."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit status."""
    logging.disable()  # what goes wrong is printed
    options = _parser().parse_args(arguments)
    try:
        with _connection(options) as connection:
            status: int = options.command(connection, options)
            return status
    except ServiceError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def call(connection: ServiceClientConnection, options: argparse.Namespace) -> int:
    """Call a service, and print the payload of its answer."""
    try:
        request = ServiceClientMixin().create_service_request(
            options.path, options.method, dict(options.arguments)
        )
        if options.nowait:
            where = sys.stderr if options.json else sys.stdout  # which then holds JSON only
            print(f"calling, as {request.request_id}", file=where, flush=True)
        response = connection.call(
            request, options.timeout, options.idempotent, on_progress=_progress_bar()
        )
    except (TypeError, ValueError) as error:
        return _usage(str(error))
    finally:
        _clear_bar()
    _print_response(response, whole=options.json)
    return 0 if response.status_code < 400 else FAILED


def ping(connection: ServiceClientConnection, options: argparse.Namespace) -> int:
    """Print how each replica is."""
    states = _states(connection, options.timeout)
    _print_states(states, as_json=options.json)
    connection.check(0)  # it has had its time
    return 0


def top(connection: ServiceClientConnection, options: argparse.Namespace) -> int:
    """Print how each replica is, again and again."""
    for number in itertools.count() if options.times is None else range(options.times):
        if number > 0:
            gevent.sleep(options.interval)
        states = _states(connection, options.timeout)
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[J")
        _print_states(states, as_json=options.json)
        sys.stdout.flush()
    return 0


def _states(connection: ServiceClientConnection, seconds: float) -> list[ReplicaState]:
    """How the replicas are, once each has answered a ping or cannot."""
    end = time.monotonic() + seconds
    connection.replicas.wait_for_first_attempt(seconds)
    while True:
        states = connection.replicas.states()
        waiting = any(state.state == "ready" and state.round_trip is None for state in states)
        if not waiting or time.monotonic() > end:
            return states
        gevent.sleep(0.01)


@contextmanager
def _connection(options: argparse.Namespace) -> Iterator[ServiceClientConnection]:
    passphrases = _passphrases(options.passphrase_file)
    try:
        connection = ServiceClientConnection(options.address, passphrases)
    except ValueError as error:
        _usage(str(error))
    try:
        yield connection
    finally:
        connection.close()
        gevent.sleep(0)


def _passphrases(path: str | None) -> list[str]:
    try:
        if path is not None:
            return environment.read_secrets("--passphrase-file", path)
        if os.environ.get(PASSPHRASE_VARIABLE):
            return environment.secrets(PASSPHRASE_VARIABLE)
        return [getpass.getpass("passphrase: ")]
    except environment.SettingError as error:
        _usage(str(error))
    except EOFError:
        _usage("no passphrase was given")


# What is printed


def _print_response(response: ServiceResponse, *, whole: bool) -> None:
    if whole:
        print(json.dumps(structs.asdict(response), ensure_ascii=False))
        return
    print(f"{response.status_code} {response.status_msg}", file=sys.stderr)
    print(json.dumps(response.body, indent=2, ensure_ascii=False))


def _print_states(states: Sequence[ReplicaState], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([state._asdict() for state in states]))
        return
    rows = [("ENDPOINT", "REPLICA", "STATE", "SOFTWARE", "CALLS", "ROUND TRIP")]
    rows += map(_row, states)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    for state in states:
        if state.error:
            print(state.error, file=sys.stderr)


def _row(state: ReplicaState) -> tuple[str, str, str, str, str, str]:
    calls = f"{state.load} of {state.limit}" if state.limit else "-"
    trip = "-" if state.round_trip is None else f"{state.round_trip * 1000:.1f} ms"
    return (
        state.endpoint,
        state.instance or "-",
        state.state,
        state.software or "-",
        calls,
        trip,
    )


def _progress_bar() -> Any:
    """Shows progress where somebody looks, and is told nothing elsewhere."""
    return _draw_bar if sys.stderr.isatty() else None


def _draw_bar(fraction: float, note: str) -> None:
    done = round(fraction * BAR)
    sys.stderr.write(f"\r\x1b[K[{'#' * done}{'.' * (BAR - done)}] {fraction:4.0%} {note[:40]}")
    sys.stderr.flush()


def _clear_bar() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _fail(error: ServiceError) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return EXIT_STATUS[type(error)]


def _usage(message: str) -> NoReturn:
    print(f"brubeck-service: {message}", file=sys.stderr)
    raise SystemExit(os.EX_USAGE)


# The arguments


class _Parser(argparse.ArgumentParser):
    """Ends with the exit status of sysexits(3)."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        _usage(message)


class _Command(_Parser):
    """Takes options anywhere. Of one that has commands, argparse does not ask that."""

    _intermixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._intermixed:  # as this is called by what is called below
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        return self.parse_known_intermixed_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="brubeck-service",
        description="Call services, and look at their replicas.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"brubeck-services {__version__}")
    commands = parser.add_subparsers(
        required=True, metavar="call | ping | top", parser_class=_Command
    )

    command = _command(commands, "call", call, "call a service and print the payload of its answer")
    command.add_argument("path", metavar="PATH", help="such as /service/slow")
    command.add_argument(
        "arguments",
        metavar="key=text | key:=json",
        nargs="*",
        type=_argument,
        help="the request's payload",
    )
    command.add_argument("--method", default="request", help="default: request")
    command.add_argument(
        "--idempotent", action="store_true", help="may be executed twice: try again if lost"
    )
    command.add_argument(
        "--nowait", action="store_true", help="print the request's id at once, the answer later"
    )

    _command(commands, "ping", ping, "print how each replica of a service is")

    command = _command(commands, "top", top, "the same, again and again")
    command.add_argument("--interval", type=_seconds, default=1.0, help="seconds (default: 1)")
    command.add_argument("--times", type=int, help="then end (default: never)")
    return parser


def _command(commands: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    command.set_defaults(command=function)
    command.add_argument("address", metavar="ADDR", help="tcp://host:port or ipc://path")
    command.add_argument(
        "--timeout", type=_seconds, default=30.0, help="seconds that it may take (default: 30)"
    )
    command.add_argument("--json", action="store_true", help="print one line of JSON")
    command.add_argument("--passphrase-file", metavar="FILE", help="its lines are passphrases")
    return command


def _seconds(text: str) -> float:
    """Seconds, as many as can be waited.

    Raises:
        argparse.ArgumentTypeError: if they cannot.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _argument(text: str) -> tuple[str, Any]:
    """`key=text` or `key:=json`.

    Raises:
        argparse.ArgumentTypeError: if it is neither.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.rstrip(":"):
        raise argparse.ArgumentTypeError(f"{text!r} is not key=text or key:=json")
    if not key.endswith(":"):
        return key, value
    try:
        return key[:-1], json.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())

"""The real Mongrel2 on free ports of this machine, with a configuration made for the test."""

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from tests.http import Answer, ask
from tests.integration.programs import Program
from tests.needs import need, program
from tests.ports import free_port, listens
from tests.waiting import eventually

CONFIGURATION = """\
app = Handler(
    send_spec='{pull_addr}', send_ident='{ident}',
    recv_spec='{pub_addr}', recv_ident='{topic}',
    protocol='{protocol}')

web = Server(
    uuid='{server}', name='web', chroot='./', pid_file='/run/mongrel2.pid',
    access_log='/logs/access.log', error_log='/logs/error.log',
    bind_addr='127.0.0.1', port={port}, default_host='any',
    hosts=[Host(name='any', routes={{'/': app}})])

servers = [web]

settings = {{
    'server.daemonize': 0,
    'control_port': 'ipc://run/control',
    'limits.buffer_size': 16384,
    'limits.client_read_retries': 20,
    'limits.content_length': 1048576,
    'limits.min_ping': {min_ping},
    'limits.tick_timer': {tick},
    'superpoll.max_fd': {max_fd},
    'superpoll.hot_dividend': 2
}}
"""

SERVER = "6e1ff2b0-5f3f-4bd2-9f0c-5d3f5f0f2c11"
FIXED_IDENT = "82209006-86FF-4982-B5EA-D1E29E55D481"


def need_mongrel2() -> None:
    """Skip the test on a machine without Mongrel2, or fail it where `CI` is set."""
    need(program("mongrel2") and program("m2sh"), "Mongrel2 (Debian's mongrel2-core)")


@dataclass
class Mongrel2:
    """A Mongrel2 that runs in a `with` block; `stop`, `start`, `restart` and `kill` disturb it.

    `protocol` is that of the headers. `ident` is `fresh` (a new one at every start, subscribed to)
    or `fixed` (always the same, and subscribed to everything: as the seed's own configuration
    was). `min_ping` and `tick` are seconds: a connection that is silent for `min_ping` is closed.
    `max_fd` is how many connections there may be.
    """

    folder: Path
    protocol: Literal["tnetstring", "json"] = "tnetstring"
    ident: Literal["fresh", "fixed"] = "fresh"
    min_ping: int = 5
    tick: int = 1
    max_fd: int = 10240
    pull_addr: str = ""
    pub_addr: str = ""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.pull_addr = self.pull_addr or f"tcp://127.0.0.1:{free_port()}"
        self.pub_addr = self.pub_addr or f"tcp://127.0.0.1:{free_port()}"
        for name in ("run", "logs"):
            (self.folder / name).mkdir(parents=True)
        self._program = Program(
            [program("mongrel2") or "mongrel2", "config.sqlite", SERVER],
            self.folder,
            self.folder / "logs" / "error.log",
            {"PATH": os.environ["PATH"]},
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where browsers find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._program.pid

    def start(self) -> None:
        """Start it; it listens when this returns."""
        self._write_configuration()
        self._program.start()
        self._program.wait_until(lambda: listens(self.port), "Mongrel2 listens")

    def stop(self) -> None:
        """End it as an operator would; requests in hand are cut."""
        self._program.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._program.kill()

    def restart(self) -> None:
        """Stop it and start it anew."""
        self.stop()
        self.start()

    def ask(self, path: str, method: str = "GET", *, timeout: float = 60.0) -> Answer:
        """The answer of the application behind it to one request."""
        return ask(self.port, path, method, timeout=timeout)

    def wait_for_application(self, path: str = "/", *, seconds: float = 10.0) -> None:
        """Wait until an application behind it answers."""
        # A request nobody takes would wait in Mongrel2: so each one waits a little only.
        eventually(lambda: self._answers(path), "an application answers", seconds=seconds)

    def _answers(self, path: str) -> bool:
        try:
            return bool(self.ask(path, timeout=1.0).status)
        except TimeoutError:
            return False

    def _write_configuration(self) -> None:
        ident = str(uuid.uuid4()) if self.ident == "fresh" else FIXED_IDENT
        configuration = CONFIGURATION.format(
            pull_addr=self.pull_addr,
            pub_addr=self.pub_addr,
            ident=ident,
            topic=ident if self.ident == "fresh" else "",
            protocol=self.protocol,
            server=SERVER,
            port=self.port,
            min_ping=self.min_ping,
            tick=self.tick,
            max_fd=self.max_fd,
        )
        (self.folder / "mongrel2.conf").write_text(configuration)
        (self.folder / "run" / "mongrel2.pid").unlink(missing_ok=True)  # a killed one leaves it
        subprocess.run(
            [program("m2sh") or "m2sh", "load", "-config", "mongrel2.conf", "-db", "config.sqlite"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LOGNAME": "test"},
            check=True,
            capture_output=True,
            timeout=30,
        )

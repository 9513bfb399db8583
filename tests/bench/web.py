"""The web servers in front of pages: Mongrel2 as we ship it, or one the peers live in."""

import contextlib
import shutil
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import (
    ROOT,
    MeasureFailedError,
    Process,
    address_of,
    module,
    new_ports,
    running,
)
from tests.bench.systems import System
from tests.needs import program

PAGES_START_LIMIT = 20.0


@contextlib.contextmanager
def pages(system: System, folder: Path, service_address: str) -> Iterator[tuple[str, Process]]:
    """Pages that call the service at an address: the URL of `/`, and the process behind it."""
    server = mongrel2_pages if system.web_server == "mongrel2" else wsgi_or_asgi_pages
    with server(system, folder, service_address) as (url, process):
        wait_for_answer(url)
        yield url, process


@contextlib.contextmanager
def mongrel2_pages(
    system: System, folder: Path, service_address: str
) -> Iterator[tuple[str, Process]]:
    """Behind a Mongrel2 with the configuration of the image, but for its addresses."""
    mongrel2, m2sh = program("mongrel2"), program("m2sh")
    if not mongrel2 or not m2sh:
        raise MeasureFailedError("skipped: Mongrel2 is not installed")
    pull_port, pub_port, web_port = new_ports(3)
    pull_address, pub_address = address_of(pull_port), address_of(pub_port)
    ident = str(uuid.uuid4())
    home = folder / ident
    for name in ("run", "logs"):
        (home / name).mkdir(parents=True)
    configuration = (ROOT / "mongrel2" / "mongrel2.conf").read_text(encoding="utf-8")
    for shipped, here in (
        ("@IDENT@", ident),
        ("tcp://0.0.0.0:9999", pull_address),
        ("tcp://0.0.0.0:9998", pub_address),
        ("chroot='/'", "chroot='./'"),
        ("/mongrel2.pid", "/run/mongrel2.pid"),
        ("/dev/stdout", "/logs/access.log"),
        ("/dev/stderr", "/logs/error.log"),
        ("bind_addr='0.0.0.0'", "bind_addr='127.0.0.1'"),
        ("port=6767", f"port={web_port}"),
        ("ipc://control", "ipc://run/control"),
    ):
        configuration = configuration.replace(shipped, here)
    (home / "mongrel2.conf").write_text(configuration, encoding="utf-8")
    load = [m2sh, "load", "-config", "mongrel2.conf", "-db", "config.sqlite"]
    subprocess.run(
        load, cwd=home, env={"LOGNAME": "bench"}, check=True, capture_output=True, timeout=30
    )
    command = module(
        system.python, system.pages_program, pull_address, pub_address, service_address
    )
    with (
        running([mongrel2, "config.sqlite", ident], folder, port=web_port, home=home),
        running(command, folder, system.environment) as process,
    ):
        yield f"http://127.0.0.1:{web_port}/", process


@contextlib.contextmanager
def wsgi_or_asgi_pages(
    system: System, folder: Path, service_address: str
) -> Iterator[tuple[str, Process]]:
    """In gunicorn with one gevent worker, or in uvicorn."""
    (port,) = new_ports(1)
    application = f"tests.bench.programs.{system.pages_program}:app"
    command = [system.python, "-m", system.web_server]
    if system.web_server == "gunicorn":
        command += ["--worker-class", "gevent", "--bind", f"127.0.0.1:{port}", application]
    else:
        command += ["--port", str(port), "--no-access-log", application]
    environment = {**system.environment, "SERVICE": service_address}
    with running(command, folder, environment, port) as process:
        yield f"http://127.0.0.1:{port}/", process


def wait_for_answer(url: str) -> None:
    """Return when a page with a call is answered."""
    deadline = time.monotonic() + PAGES_START_LIMIT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  # of ours
                answer.read()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise MeasureFailedError(f"no page came: {error}") from None
            time.sleep(0.05)


def wrk(url: str, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    """What wrk saw: pages a second, all pages, and failed ones."""
    wrk_program = shutil.which("wrk")
    if not wrk_program:
        raise MeasureFailedError("skipped: wrk is not installed")
    command = [wrk_program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", url]
    with running(command, folder) as process:
        output = process.wait_until_it_ends(seconds + 20)
    figures = {"rate": 0.0, "pages": 0.0, "failed": 0.0}
    for line in output.splitlines():
        words = line.split()
        if line.startswith("Requests/sec:"):
            figures["rate"] = float(words[1])
        elif " requests in " in line:
            figures["pages"] = float(words[0])
        elif "Non-2xx" in line:
            figures["failed"] += float(words[-1])
        elif "Socket errors" in line:
            figures["failed"] += sum(
                float(word.strip(",")) for word in words if word.strip(",").isdigit()
            )
    return figures

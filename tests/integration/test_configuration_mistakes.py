"""A mistake in the configuration ends the start with one clear sentence."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import ROOT
from tests.ports import free_port

PROGRAM = """\
from brubeck.connections import Mongrel2Connection, WSGIConnection
from brubeck.request_handling import Brubeck, WebMessageHandler
from brubeck.templating import load_jinja2_env
from brubeckservice.base import ServiceConnection

config = dict(msg_conn=WSGIConnection({free}, "127.0.0.1"))
config.update({settings})
Brubeck(**config).run()
"""


def start(settings: str, folder: Path) -> str:
    """What a program with these settings says on standard error, having failed."""
    program = folder / "program.py"
    program.write_text(PROGRAM.format(free=free_port(), settings=settings))
    result = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1, result
    return result.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("msg_conn=None", "msg_conn is missing: where should messages come from?"),
        ("log_levle='DEBUG'", "unexpected keyword argument 'log_levle'"),
        ("handler_tuples=[('^/(', print)]", "route '^/(': missing ), unterminated subpattern"),
        ("handler_tuples=[('^/', 'Page')]", "route '^/': 'Page' is neither a class nor a function"),
        ("template_loader=load_jinja2_env('./pages')", "there is no folder './pages'"),
        ("msg_conn=ServiceConnection('localhost:9000', 'x')", "address: 'localhost:9000' (tcp://"),
        ("msg_conn=Mongrel2Connection('tcp://web', 'ipc://x')", "address: 'tcp://web' (tcp://"),
        ("msg_conn=Mongrel2Connection('ipc://x', 'tcp://web:0')", "address: 'tcp://web:0' (tcp://"),
        ("msg_conn=WSGIConnection(70000)", "not a port: 70000 (1 to 65535)"),
    ],
    ids=lambda value: str(value).partition("=")[0],
)
def test_a_setting_that_cannot_be_is_named_where_the_application_is_made(
    settings: str, sentence: str, tmp_path: Path
) -> None:
    *traceback, last = start(settings, tmp_path).splitlines()
    assert sentence in last
    assert len(traceback) <= 10


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            "msg_conn=WSGIConnection({port}, '127.0.0.1')",
            "Address already in use: ('127.0.0.1', {port})",
        ),
        ("health_port={port}", "health_port: cannot listen: Address already in use"),
        ("health_port=70000", "health_port is 70000, which is no port (1 to 65535)"),
        ("metrics_port={port}", "metrics_port: cannot listen: Address already in use"),
        ("metrics_port=70000", "metrics_port is 70000, which is no port (1 to 65535)"),
        ("msg_conn=ServiceConnection('tcp://127.0.0.1:{port}', 'x')", "Address already in use"),
        (
            "msg_conn=ServiceConnection('ipc://no/folder', 'x')",
            'No such file or directory for ipc path "no/folder"',
        ),
        ("log_level='LOUD'", "log_level is 'LOUD', not a level of logging"),
        ("log_format='xml'", "log_format is 'xml', not one of text, json"),
    ],
    ids=lambda value: str(value).partition("=")[0],
)
def test_what_cannot_be_had_ends_the_run_with_one_line(
    settings: str, sentence: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        said = start(settings.format(port=port), tmp_path)
    (line,) = said.splitlines()
    assert sentence.format(port=port) in line

"""The two programs this project began with run as they were printed.

`seed/` holds them word for word: they are the programming interface we promise to keep.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import Program, python_program
from tests.integration.real_mongrel2 import Mongrel2, need_mongrel2
from tests.ports import free_port, listens
from tests.waiting import eventually

SEED = Path(__file__).parent / "seed"

SYNC_TEXT = "I made a round trip, it took a while but I bring results."
ASYNC_TEXT = "Async is faster, but ... nothing to report on my trip."

PRINTED_ADDRESS = "ipc://run/slow"
PRINTED_PORTS = {"pull_addr": "tcp://127.0.0.1:9999", "pub_addr": "tcp://127.0.0.1:9998"}

AS_THE_ORIGINAL = {"protocol": "json", "ident": "fixed"}
AS_OURS = {"protocol": "tnetstring", "ident": "fresh"}

METHOD_FORM = "service_path,\n            request_method,\n            {}_request_arguments\n"
HEADERS_FORM = "service_path, \n            request_headers, \n            {}_request_arguments\n"
"""The other printed way to call `create_service_request`: with dicts of headers and of values."""


@dataclass(frozen=True)
class Demo:
    """The two programs, running behind a Mongrel2."""

    mongrel2: Mongrel2
    client: Program
    service: Program


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((AS_THE_ORIGINAL, "ipc", METHOD_FORM), id="as printed"),
        pytest.param((AS_THE_ORIGINAL, "tcp", METHOD_FORM), id="tcp"),
        pytest.param((AS_OURS, "ipc", METHOD_FORM), id="our Mongrel2 configuration"),
        pytest.param((AS_OURS, "tcp", METHOD_FORM), id="ours, tcp"),
        pytest.param((AS_THE_ORIGINAL, "ipc", HEADERS_FORM), id="headers and body"),
    ],
)
def demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """The programs in a folder of their own, as a reader of the README would have them."""
    need_mongrel2()
    configuration, transport, form = request.param
    folder = tmp_path_factory.mktemp("demo")
    (folder / "run").mkdir()
    shutil.copytree(SEED / "templates", folder / "templates")
    port = free_port()
    address = PRINTED_ADDRESS if transport == "ipc" else f"tcp://127.0.0.1:{port}"
    changes = {PRINTED_ADDRESS: address}
    _copy(SEED / "demo_service.py", folder, changes)
    changes |= {METHOD_FORM.format(kind): form.format(kind) for kind in ("sync", "async")}
    _copy(SEED / "demo_service_client.py", folder, changes)

    options: dict[str, Any] = PRINTED_PORTS | configuration
    with (
        Mongrel2(folder / "mongrel2", **options) as mongrel2,
        python_program(folder / "demo_service.py", folder) as service,
        python_program(folder / "demo_service_client.py", folder) as client,
    ):
        service.wait_until(
            (folder / "run" / "slow").exists if transport == "ipc" else lambda: listens(port),
            "the service listens",
        )
        mongrel2.wait_for_application()
        yield Demo(mongrel2, client, service)


def _copy(printed: Path, folder: Path, changes: Mapping[str, str]) -> None:
    text = printed.read_text()
    for old, new in changes.items():
        assert old in text, f"{printed.name} has no {old!r}"
        text = text.replace(old, new)
    (folder / printed.name).write_text(text)


def test_the_front_page_answers(demo: Demo) -> None:
    answer = demo.mongrel2.ask("/")

    assert answer.status == 200
    assert ASYNC_TEXT in unescape(answer.text)


def test_that_everybody_can_read_their_secrets_is_said_once(demo: Demo) -> None:
    advice = "is short or published: good for a demonstration only"

    assert demo.client.said.count(f"a cookie secret {advice}") == 1
    assert demo.service.said.count(f"the passphrase {advice}") == 1


def test_a_synchronous_call_brings_the_text_back_after_the_service_took_its_time(
    demo: Demo,
) -> None:
    answer = demo.mongrel2.ask("/service/sync")

    assert answer.status == 200
    assert SYNC_TEXT in unescape(answer.text)
    assert answer.seconds >= 5


def test_an_asynchronous_call_answers_at_once_and_its_response_reaches_the_handler_later(
    demo: Demo,
) -> None:
    responses_before = demo.client.said.count("Successfull 200")

    answer = demo.mongrel2.ask("/service/async")

    assert answer.status == 200
    assert answer.seconds < 4
    assert ASYNC_TEXT in unescape(answer.text)
    assert demo.client.said.count("Successfull 200") == responses_before
    eventually(
        lambda: demo.client.said.count("Successfull 200") == responses_before + 1,
        "the response handler's log line",
        seconds=15,
    )

"""Steady load: so many calls a second, whatever becomes of those before them.

They come at random, as those of many browsers do. In an even rhythm, each request would follow the
message that the browser of an earlier one has left, and Mongrel2, which deals both out in turn,
would give all requests to one of two client apps.
"""

import json
import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from tests.chaos.ledger import Entry, Told
from tests.http import ask

PATIENCE = 30.0
"""Seconds after which a browser that heard nothing counts as hung."""

MAX_WAITING = 500
"""Browsers at a time."""


def issue(port: int, id_: str, *, idempotent: bool = False, **arguments: object) -> Entry:
    """One call through a browser of its own, and what its caller was told."""
    query = {"id": id_, **arguments} | ({"idempotent": 1} if idempotent else {})
    issued = time.time()
    outcome, told, answer_to = _told_by(port, f"/call?{urlencode(query)}")
    return Entry(id_, idempotent, issued, time.time(), outcome, told, answer_to)


def _told_by(port: int, path: str) -> tuple[str, Told, str]:
    """The outcome, what it says of the execution, and the id in the answer."""
    try:
        answer = ask(port, path, timeout=PATIENCE)
    except TimeoutError:
        return "hung", "nothing", ""
    if answer.status == 0:
        return "cut", "maybe", ""
    if answer.headers.get_content_type() != "application/json":
        return f"page {answer.status}", "maybe", ""
    said = json.loads(answer.text)
    if said["outcome"] == "answered":
        return "answered", "answered", said["id"]
    return said["outcome"], "maybe" if said["may_have_run"] else "not executed", said["id"]


class SteadyLoad:
    """Issues calls while a `with` block runs; at its end all have been told their outcome.

    Args:
        name: what the ids of its calls begin with.
        rate: calls a second, on average.
        seconds: how long a call takes to execute.
        idempotent_every: every so manieth call is idempotent; 0 for none.
    """

    def __init__(
        self,
        port: int,
        name: str,
        *,
        rate: float = 20.0,
        seconds: float = 0.1,
        idempotent_every: int = 0,
        timeout: float = 5.0,
    ) -> None:
        self._port = port
        self._name = name
        self._rate = rate
        self._arguments = {"seconds": seconds, "timeout": timeout}
        self._idempotent_every = idempotent_every
        self._browsers = ThreadPoolExecutor(MAX_WAITING)
        self._calls: list[Future[Entry]] = []
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._issue_steadily)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._clock.join()
        self._browsers.shutdown(wait=True, cancel_futures=kind is not None)

    @property
    def entries(self) -> list[Entry]:
        """The calls that have ended, in the order in which they were issued."""
        return [call.result() for call in list(self._calls) if call.done()]

    def _issue_steadily(self) -> None:
        pauses = random.Random(self._name)
        number, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            number += 1
            due += pauses.expovariate(self._rate)
            idempotent = bool(self._idempotent_every) and number % self._idempotent_every == 0
            self._calls.append(
                self._browsers.submit(
                    issue,
                    self._port,
                    f"{self._name}-{number}",
                    idempotent=idempotent,
                    **self._arguments,
                )
            )


def outcomes(entries: Iterable[Entry]) -> dict[str, int]:
    """How many ended in which way."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.outcome] = counts.get(entry.outcome, 0) + 1
    return counts


def issued_between(entries: Iterable[Entry], start: float, end: float) -> list[Entry]:
    """Those issued in a span of time."""
    return [entry for entry in entries if start <= entry.issued < end]

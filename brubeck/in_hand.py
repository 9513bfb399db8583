"""The messages being handled: one greenlet, one deadline and exactly one answer each.

Whatever a handler does cooperatively, its message is answered in time: when the deadline
comes first, `too_late` makes the answer and the handler's greenlet is ended. Used for HTTP
requests and service calls alike.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from brubeck.deadlines import Deadlines


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    answer: Callable[[Any], None]
    too_late: Callable[[], Any]
    greenlet: "gevent.Greenlet[..., None] | None" = None


class InHand:
    """At most `limit` jobs at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pool: Any = None
        """The pool whose greenlets do the work; without one, greenlets of their own."""
        self._jobs: dict[int, _Job] = {}
        self._keys = itertools.count()
        self._deadlines: Deadlines[int] = Deadlines(self._expire)
        self._empty = Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def full(self) -> bool:
        """Whether there is no room for another job."""
        pool_full = self.pool is not None and self.pool.full()
        return pool_full or len(self._jobs) >= self.limit

    def start(
        self,
        seconds: float,
        work: Callable[[], Any],
        answer: Callable[[Any], None],
        too_late: Callable[[], Any],
    ) -> None:
        """Run `work` and give what it returns to `answer`, or `too_late()` after `seconds`.

        `work` answers its own errors: it must not raise.
        """
        key = next(self._keys)
        job = self._jobs[key] = _Job(work, answer, too_late)
        self._empty.clear()
        self._deadlines.add(key, seconds)
        spawn = gevent.spawn if self.pool is None else self.pool.spawn
        job.greenlet = spawn(self._run, key, work)

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait for the last job to end; False if some remain after `seconds`."""
        return bool(self._empty.wait(seconds))

    def _run(self, key: int, work: Callable[[], Any]) -> None:
        self._finish(key, work())

    def _finish(self, key: int, result: Any) -> None:
        job = self._jobs.pop(key, None)
        if job is None:
            return  # answered already
        try:
            job.answer(result)
        finally:
            if not self._jobs:
                self._empty.set()

    def _expire(self, key: int) -> None:
        job = self._jobs.get(key)
        if job is not None:
            gevent.spawn(self._answer_too_late, key, job)

    def _answer_too_late(self, key: int, job: _Job) -> None:
        if key in self._jobs:
            self._finish(key, job.too_late())
            if job.greenlet is not None:
                job.greenlet.kill(block=False)

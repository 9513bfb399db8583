"""The messages being handled: one greenlet, one deadline and exactly one answer each.

Whatever a handler does cooperatively, its message is answered in time: when the deadline
comes first, `too_late` makes the answer and the handler's greenlet is ended. Used for HTTP
requests and service calls alike.

A greenlet that has done its job waits for the next one: making a greenlet costs more than
routing, handling and encoding a message together. It is woken from the event loop only.
"""

import itertools
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.event import Event

from brubeck.deadlines import Deadlines

MAX_IDLE = 200
"""Greenlets that are kept while there is nothing for them to do."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], Any]
    answer: Callable[[Any], None]
    too_late: Callable[[], Any]
    greenlet: Any = None
    expired: bool = False


class InHand:
    """At most `limit` jobs at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pool: Any = None
        """The pool whose greenlets do the work, a job each; without one, greenlets of our own."""
        self._hub = gevent.get_hub()
        self._jobs: dict[int, _Job] = {}
        self._keys = itertools.count()
        self._deadlines: Deadlines[int] = Deadlines(self._expire)
        self._idle: list[Any] = []
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
        job = _Job(work, answer, too_late)
        if not self._jobs:
            self._empty.clear()
        self._jobs[key] = job
        self._deadlines.add(key, seconds)
        if self.pool is None:
            self._hub.loop.run_callback(self._hand_over, key, job)
        else:
            job.greenlet = self.pool.spawn(self._work, key, job)

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait for the last job to end; False if some remain after `seconds`."""
        return bool(self._empty.wait(seconds))

    # In the event loop

    def _hand_over(self, key: int, job: _Job) -> None:
        if self._idle:
            job.greenlet = self._idle.pop()
            job.greenlet.switch(key, job)
        elif not job.expired:
            job.greenlet = gevent.spawn(self._work, key, job)

    def _expire(self, key: int) -> None:
        """End the greenlet here and now: a moment later it may do another job."""
        job = self._jobs.get(key)
        if job is None:
            return
        job.expired = True
        if job.greenlet is not None:
            job.greenlet.throw(GreenletExit)
        gevent.spawn(self._answer_too_late, key, job)

    # In greenlets

    def _work(self, key: int, job: _Job) -> None:
        while True:
            result = Context().run(job.work)  # context variables are a message's own
            if job.expired:
                return  # `too_late` answers; and who knows what would still wake this greenlet
            self._finish(key, job, result)
            if self.pool is not None or len(self._idle) >= MAX_IDLE:
                return
            del result
            self._idle.append(gevent.getcurrent())
            key, job = self._hub.switch()

    def _answer_too_late(self, key: int, job: _Job) -> None:
        self._finish(key, job, job.too_late())

    def _finish(self, key: int, job: _Job, result: Any) -> None:
        del self._jobs[key]
        try:
            job.answer(result)
        finally:
            if not self._jobs:
                self._empty.set()

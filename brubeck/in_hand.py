"""The messages being handled: one greenlet, one deadline and exactly one answer each.

Whatever a handler does cooperatively, its message is answered in time: when the deadline
comes first, `too_late` makes the answer and the handler's greenlet is ended. Where nobody
waits for the answer any more, `end` ends it without one. Used for HTTP requests and service
calls alike.

A greenlet that has done its job waits for the next one: making a greenlet costs more than
routing, handling and encoding a message together.
"""

import itertools
import time
from contextvars import Context
from typing import Any

import gevent
from gevent.event import Event

from brubeck.deadlines import Deadlines

MAX_IDLE = 200
"""Greenlets that are kept while there is nothing for them to do."""


class Job:
    """Something to do, once. A subclass says what, and needs little memory for it."""

    __slots__ = ("context", "ended", "greenlet", "key", "late", "prolonged_until")

    def __init__(self) -> None:
        self.context: Context | None = None
        """The context variables it begins with, none if None; each greenlet has a copy of them."""
        self.key = 0
        self.greenlet: Any = None
        self.prolonged_until = 0.0
        self.ended = self.late = False
        """What `work` returns is not wanted any more, since the deadline came or nobody waits; it
        was the deadline, and what `too_late` returns is wanted instead."""

    def work(self) -> Any:
        """Do it. Answers its own errors: must not raise."""
        raise NotImplementedError

    def too_late(self) -> Any:
        """What counts instead when the deadline came first."""
        raise NotImplementedError

    def answer(self, result: Any) -> None:
        """Take what `work` or `too_late` returned."""
        raise NotImplementedError

    def failed(self, _result: Any) -> bool:
        """Whether its greenlet should do no other: a timeout may still be on its way there."""
        return False

    def abandoned(self) -> None:
        """Called in place of `answer` where nobody waits for it any more."""


class InHand:
    """At most `limit` jobs at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pool: Any = None
        """The pool whose greenlets do the work, a job each; without one, greenlets of our own."""
        self._hub = gevent.get_hub()
        self._jobs: dict[int, Job] = {}
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

    def start(self, job: Job, seconds: float) -> None:
        """Do a job; from `seconds` on it is too late."""
        key = job.key = next(self._keys)
        if not self._jobs:
            self._empty.clear()
        self._jobs[key] = job
        self._deadlines.add(key, seconds)
        if self.pool is None:
            self._hub.loop.run_callback(self._hand_over, job)
        else:
            job.greenlet = self.pool.spawn(self._work, [job])
            job.greenlet.gr_context = job.context and job.context.copy()

    def prolong(self, job: Job, seconds: float) -> None:
        """From now on, a job is too late `seconds` from now."""
        job.prolonged_until = time.monotonic() + seconds

    def end(self, job: Job) -> None:
        """End a job that nobody waits for: now, or before it has begun. It gets no answer."""
        if self._jobs.pop(job.key, None) is not None:
            job.late = False  # if it was: now nobody waits for that answer either
            job.abandoned()
            self._end(job)
            self._note_if_empty()

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait for the last job to end; False if some remain after `seconds`."""
        return bool(self._empty.wait(seconds))

    # In the event loop

    def _hand_over(self, job: Job) -> None:
        if job.ended:
            return
        while self._idle and self._idle[-1].dead:  # by a timeout that its last job left running
            self._idle.pop()
        waits = bool(self._idle)
        job.greenlet = self._idle.pop() if waits else gevent.spawn_raw(self._work, [job])
        job.greenlet.gr_context = job.context and job.context.copy()
        if waits:
            job.greenlet.switch(job)

    def _expire(self, key: int) -> None:
        job = self._jobs.get(key)
        if job is None:
            return
        seconds = job.prolonged_until and job.prolonged_until - time.monotonic()
        if seconds > 0:
            self._deadlines.add(key, seconds)
        else:
            job.late = True
            self._end(job)
            gevent.spawn(self._answer_too_late, job).gr_context = job.context and job.context.copy()

    def _end(self, job: Job) -> None:
        job.ended = True
        if job.greenlet is not None:
            self._hub.loop.run_callback(job.greenlet.throw)

    def _note_if_empty(self) -> None:
        if not self._jobs:
            self._empty.set()

    # In greenlets

    def _work(self, first: list[Job]) -> None:
        me = gevent.getcurrent()
        job = first.pop()  # a greenlet keeps its arguments as long as it lives
        while True:
            result = job.work()
            if job.ended:
                return  # and do no other job: `throw` may still be on its way here
            self._finish(job, result)
            if self.pool is not None or len(self._idle) >= MAX_IDLE or job.failed(result):
                return
            # It may wait for long, and they hold a mebibyte each, as a handler's variables may.
            del job, result
            me.gr_context = None
            self._idle.append(me)
            job = self._hub.switch()

    def _answer_too_late(self, job: Job) -> None:
        self._finish(job, job.too_late())

    def _finish(self, job: Job, result: Any) -> None:
        if self._jobs.pop(job.key, None) is None:
            return  # ended while the late answer was being made
        try:
            job.answer(result)
        finally:
            self._note_if_empty()

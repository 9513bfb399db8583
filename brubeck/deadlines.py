"""Many deadlines, one timer.

A timer per call costs more than the call. So deadlines fall into coarse buckets, and one
tick empties those that are due. Most keys are gone by then; `expire` must not mind.
"""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import gevent

K = TypeVar("K")

TICK = 0.05
"""Seconds between ticks: no deadline is early, and none much later than this."""


class Deadlines(Generic[K]):
    """Calls `expire(key)`, in the event loop, when the time of a key has come."""

    def __init__(self, expire: Callable[[K], None]) -> None:
        self._expire = expire
        self._buckets: dict[int, list[K]] = {}
        self._timer = gevent.get_hub().loop.timer(TICK, TICK)
        self._emptied = 0

    def add(self, key: K, seconds: float) -> None:
        """Expire `key` in `seconds` from now; soon, if they are less than none."""
        now = time.monotonic()
        # Never one that was emptied: a tick empties those up to the time at which it began.
        bucket = int((now + max(seconds, 0.0)) / TICK) + 1
        if not self._buckets:
            self._emptied = int(now / TICK)
            self._timer.start(self._tick)
        self._buckets.setdefault(bucket, []).append(key)

    def close(self) -> None:
        """Forget all deadlines."""
        self._buckets.clear()
        self._timer.close()

    def _tick(self) -> None:
        due = int(time.monotonic() / TICK)
        for bucket in range(self._emptied + 1, due + 1):
            for key in self._buckets.pop(bucket, ()):
                self._expire(key)
        self._emptied = due
        if not self._buckets:
            self._timer.stop()

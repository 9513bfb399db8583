"""How far a call has come: said by its handler at any time, told to a caller that wants to know.

A handler may say it as often as it likes; a caller is told the newest, in order, as fast as it
reads and not faster than anybody could look. The outcome of the call ends it.
"""

from collections.abc import Callable
from contextvars import ContextVar

import gevent

from brubeckservice.protocol import MAX_TEXT, Progress

INTERVAL = 0.05
"""Seconds between two messages about the same call, at least."""

OnProgress = Callable[[float, str], object]
"""Told a fraction, from 0 to 1, and a note."""

OnSent = Callable[[str], object]
"""Told the instance that a call was sent to."""

reporter: ContextVar[OnProgress | None] = ContextVar("reporter", default=None)
"""Who is told of the progress of the call that is being handled, if anybody is."""


class Reporter:
    """Has `send` called, in the event loop, with what the handler of one call says.

    `send` returns whether it is done with a message: if not, it gets that one, or a newer one,
    a little later.
    """

    def __init__(self, id: int, send: Callable[[Progress], bool]) -> None:
        self._id = id
        self._send = send
        self._loop = gevent.get_hub().loop
        self._newest: Progress | None = None
        self._scheduled = False

    def __call__(self, fraction: float, note: str) -> None:
        """Take a report, from any thread."""
        text = (
            str(note)[:MAX_TEXT].encode("utf-8", "replace").decode()
        )  # JSON has no half characters
        self._newest = Progress(self._id, fraction, text)
        if not self._scheduled:
            self._scheduled = True
            self._loop.run_callback_threadsafe(self._send_newest)

    def _send_newest(self) -> None:
        # In this order: a report that another thread makes meanwhile is sent in any case.
        self._scheduled = False
        progress = self._newest
        if progress is None:
            return
        self._scheduled = True
        if self._send(progress) and self._newest is progress:
            self._newest = None
        gevent.spawn_later(INTERVAL, self._send_newest)

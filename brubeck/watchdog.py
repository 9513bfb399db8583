"""Ends a process whose event loop stands still, so that whoever started it starts it anew.

A handler that computes for ever, or waits in something that is not cooperative, holds up all the
others; no greenlet can end it. So a native thread looks once a second whether the event loop still
turns. It counts its own looks and reads no clock: a process that was frozen and goes on
(SIGSTOP, a paused container, a debugger) was not looked at meanwhile.
"""

import logging
import os
import sys
import traceback
from types import FrameType

import gevent
from gevent import monkey

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between looks."""

STOOD_STILL = 70
"""The exit status; EX_SOFTWARE of sysexits.h."""

_DEBUGGERS = {"bdb", "pydevd"}
"""Modules that run, in the thread they debug, while somebody looks at it."""


def watch_event_loop(seconds: float) -> None:
    """End this process, with status 70, when its event loop has not turned for `seconds`.

    What it stood at is logged first. Looks on as long as the process lives.
    """
    watchdog = _Watchdog(gevent.get_hub().loop, seconds)
    start_native_thread = monkey.get_original("_thread", "start_new_thread")
    start_native_thread(watchdog.look_forever, ())


class _Watchdog:
    def __init__(self, loop: object, seconds: float) -> None:
        self._turns = 0
        self._limit = max(1, round(seconds / INTERVAL))
        self._thread = monkey.get_original("_thread", "get_ident")()
        self._timer = loop.timer(INTERVAL, INTERVAL, ref=False)  # type: ignore[attr-defined]
        self._timer.start(self._note_turn)
        self._sleep = monkey.get_original("time", "sleep")
        self._start_native_thread = monkey.get_original("_thread", "start_new_thread")

    def _note_turn(self) -> None:
        self._turns += 1

    # In the native thread

    def look_forever(self) -> None:
        seen, still = self._turns, 0
        while True:
            self._sleep(INTERVAL)
            turned = self._turns != seen or self._is_debugged()
            seen, still = self._turns, 0 if turned else still + 1
            if still > self._limit:
                # In yet another thread: a log that cannot be written must not keep us here.
                self._start_native_thread(self._say_why, ())
                self._sleep(INTERVAL)
                os._exit(STOOD_STILL)

    def _say_why(self) -> None:
        where = "".join(traceback.format_stack(self._frame()))
        logger.critical("the event loop has stood still for %d s, at\n%s", self._limit, where)

    def _is_debugged(self) -> bool:
        frames = traceback.walk_stack(self._frame())
        return any(frame.f_globals.get("__name__") in _DEBUGGERS for frame, _ in frames)

    def _frame(self) -> FrameType:
        return sys._current_frames()[self._thread]  # noqa: SLF001  # public in all but its name

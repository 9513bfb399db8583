"""How late the event loop is: what every greenlet that is ready to go on waits for its turn."""

import time
from collections.abc import Callable

import gevent

INTERVAL = 0.25
"""Seconds between two measurements."""


def measure_loop_lag(observe: Callable[[float], object]) -> None:
    """Tell `observe`, four times a second and for ever, by how many seconds it is late."""
    while True:
        due = time.monotonic() + INTERVAL
        gevent.sleep(INTERVAL)
        observe(max(0.0, time.monotonic() - due))

"""Waiting for something to become so, never longer than said."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, *, seconds: float) -> T:
    """What `condition` returns, as soon as that is true.

    Raises:
        AssertionError: if it is not after `seconds`; the message says `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(0.05)

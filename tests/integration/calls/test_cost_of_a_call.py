"""What a call costs, without a clock: the lines of Python that both ends run for it."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import pytest

from tests.integration.calls.instances import Caller, Service

OURS = tuple(str(Path(__file__).parents[3] / name) for name in ("brubeck", "brubeckservice"))
CALLS = 20


class Lines:
    """Counts the lines that our modules run, by function."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """Called by Python for each call and each line."""
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            self.of[frame.f_code.co_qualname] += 1
        return self.trace

    def while_calling(self, call: Callable[[], Any], at_once: int) -> float:
        """The lines per call of `at_once` greenlets that call again and again."""

        def call_again_and_again() -> None:
            sys.settrace(self.trace)  # a greenlet's own
            for _ in range(CALLS):
                call()
            sys.settrace(None)

        on_loop = gevent.get_hub().loop.run_callback
        on_loop(sys.settrace, self.trace)
        gevent.joinall([gevent.spawn(call_again_and_again) for _ in range(at_once)])
        on_loop(sys.settrace, None)
        gevent.sleep(0)
        return sum(self.of.values()) / (at_once * CALLS)


@pytest.mark.parametrize(("at_once", "most"), [(1, 450), (64, 345)])
def test_a_call_runs_no_more_lines_than_it_did(
    serve: Callable[..., Service], caller: Caller, at_once: int, most: int
) -> None:
    service = serve()
    lines = Lines()
    caller.ask(service.addr)

    per_call = lines.while_calling(lambda: caller.ask(service.addr), at_once)

    dearest = "\n".join(f"{count:6} {name}" for name, count in lines.of.most_common(20))
    assert 100 < per_call < most, dearest

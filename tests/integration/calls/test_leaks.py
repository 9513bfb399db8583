"""Calls that time out leave nothing, however many: no entries, no descriptors, no memory.

And who does not read its answers costs a service no more memory than is said.
"""

import gc
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import gevent
import zmq
from gevent.event import Event

from brubeckservice.base import ServiceError, ServiceRefused, ServiceTimeout
from tests.integration.calls.instances import Caller, free_address
from tests.integration.calls.raw_peers import KEYS, RawService, frame_of, keyed
from tests.integration.programs import Program, resident
from tests.waiting import eventually

CALLS = 100_000
AT_A_TIME = 2500


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_calls_that_fail_leave_nothing_to_the_garbage_collector(
    raw_service: Callable[..., RawService], caller: Caller
) -> None:
    silent, nowhere = raw_service(lambda _: []).addr, free_address()

    def fail(addr: str) -> Callable[[], object]:
        in_the_hands_of_the_caller = Event()
        with suppress(ServiceError):
            caller.ask(addr, timeout=0.1)
        return weakref.ref(in_the_hands_of_the_caller)

    caller.wait_for_replicas(silent, 1)
    gc.disable()
    try:
        left = [fail(addr) for addr in (silent, nowhere)]
        gevent.idle()  # what is told is kept until the event loop goes on
        assert [what() for what in left] == [None, None]
    finally:
        gc.enable()


def times_out(caller: Caller, addr: str) -> bool:
    """Whether a call ends because its time is over; either end may be the first to see it."""
    try:
        response, _ = caller.ask(addr, "/echo", {"seconds": 60}, timeout=0.3)
    except ServiceTimeout:
        return True
    except ServiceRefused as error:
        return " is late," in str(error)
    return response.status_code == HTTPStatus.GATEWAY_TIMEOUT


def test_a_hundred_thousand_calls_that_time_out_leave_nothing(
    serve_apart: Callable[[], tuple[str, Program]], caller: Caller
) -> None:
    addr, service = serve_apart()
    caller.wait_for_replicas(addr, 1)
    processes = (os.getpid(), service.pid)

    def time_out_together(calls: int) -> int:
        timed_out = 0
        for _ in range(calls // AT_A_TIME):
            greenlets = [gevent.spawn(times_out, caller, addr) for _ in range(AT_A_TIME)]
            gevent.joinall(greenlets, timeout=30)
            timed_out += sum(greenlet.value is True for greenlet in greenlets)
        return timed_out

    def growth() -> int:
        """Bytes that either process has more after all these calls."""
        gc.collect()
        before = [resident(pid) for pid in processes]
        assert time_out_together(CALLS) == CALLS
        gc.collect()
        return max(resident(pid) - size for pid, size in zip(processes, before, strict=True))

    time_out_together(CALLS // 5)  # until both have the memory that so many at a time need
    before = [descriptors(pid) for pid in processes]

    # One that is held up for a moment may need more: once, but a leak grows every time.
    assert any(growth() < 5_000_000 for _ in range(3))

    assert caller.waiting() == 0
    (session,) = caller.sessions(addr)
    assert session.outstanding == 0
    for pid, files in zip(processes, before, strict=True):
        assert descriptors(pid) <= files


def test_answers_that_nobody_reads_take_no_more_memory_than_an_outbox_and_a_few_frames(
    serve_apart: Callable[..., tuple[str, Program]], caller: Caller
) -> None:
    addr, service = serve_apart(MALLOC_MMAP_THRESHOLD_="65536")  # what is freed is given back
    caller.wait_for_replicas(addr, 1)
    before = resident(service.pid)

    with zmq.Context() as context, keyed(context.socket(zmq.DEALER), KEYS) as peer:
        peer.set(zmq.LINGER, 0)
        peer.set(zmq.RCVHWM, 1)
        peer.connect(addr)
        peer.send(frame_of(["hello", [1]]))
        for number in range(1, 401):
            text = "a" * 900_000
            peer.send(frame_of(["call", number, 60_000, "/echo", "request", {}, {"text": text}]))

        eventually(lambda: service.said.count("called request") == 400, "all", seconds=30)
        assert "a caller does not read its answers" in service.said
        assert resident(service.pid) - before < 130_000_000
        assert caller.ask(addr)[0].status_code == 200

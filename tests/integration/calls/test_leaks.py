"""Calls that time out leave nothing, however many: no entries, no descriptors, no memory.

And who does not read its answers costs a service no more memory than is said.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import gevent
import zmq

from brubeckservice.base import ServiceError, ServiceTimeout
from tests.integration.calls.instances import Caller
from tests.integration.calls.raw_peers import KEYS, frame_of, keyed
from tests.integration.programs import Program, resident
from tests.waiting import eventually

CALLS = 100_000
AT_A_TIME = 2500


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_hundred_thousand_calls_that_time_out_leave_nothing(
    serve_apart: Callable[[], tuple[str, Program]], caller: Caller
) -> None:
    addr, service = serve_apart()
    caller.wait_for_replicas(addr, 1)
    processes = (os.getpid(), service.pid)

    def time_out() -> bool:
        try:
            caller.ask(addr, "/echo", {"seconds": 60}, timeout=0.3)
        except ServiceError as error:
            return isinstance(error, ServiceTimeout)
        return False

    def time_out_together(calls: int) -> int:
        timed_out = 0
        for _ in range(calls // AT_A_TIME):
            greenlets = [gevent.spawn(time_out) for _ in range(AT_A_TIME)]
            gevent.joinall(greenlets, timeout=30)
            timed_out += sum(greenlet.value is True for greenlet in greenlets)
        return timed_out

    time_out_together(CALLS // 5)  # until both have the memory that so many at a time need
    gc.collect()
    before = [(resident(pid), descriptors(pid)) for pid in processes]

    assert time_out_together(CALLS) == CALLS

    gc.collect()
    assert caller.waiting() == 0
    (session,) = caller.sessions(addr)
    assert session.outstanding == 0
    for pid, (memory, files) in zip(processes, before, strict=True):
        assert resident(pid) - memory < 5_000_000
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

"""The load a client program makes, the same for every system; it imports none of them.

Workers call in a closed loop: each one's next call follows its last answer. A client prints
what it saw as one JSON object, in a line of its own.
"""

import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

Payload = dict[str, str]

CALL_TIMEOUT = 60.0
CONNECTING_AT_ONCE = 20


@dataclass
class Load:
    """How many workers call for how long, and with how much.

    `seconds` counts after `warm_up`; with 0 each worker calls once. `size` is the length of the
    payload as JSON, in bytes. Of ours only: `address` may be several, with a comma between them;
    `path` is the service's route; `held` calls more wait in the service all the while.
    """

    address: str
    at_once: int
    seconds: float = 0.0
    warm_up: float = 0.0
    size: int = 70
    path: str = "/echo"
    held: int = 0
    payload: Payload = field(init=False)

    def __post_init__(self) -> None:
        overhead = len(json.dumps({"text": ""}, separators=(",", ":")))
        self.payload = {"text": "x" * (self.size - overhead)}

    @classmethod
    def asked_for(cls) -> "Load":
        """What the command line says."""
        return cls(**json.loads(sys.argv[1]))


class Tally:
    """Counts calls and their latencies; what ends in the warm-up does not count.

    `ended` and `cpu` are of all calls.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self.failed = 0
        self.first_failure = ""
        self._latencies: list[float] = []
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins anew
        self._memory = _memory("VmRSS")
        self._start = time.perf_counter()
        self._warm = self._start + load.warm_up
        self._end = self._warm + load.seconds
        self._cpu = self._first_cpu = time.process_time()
        self._ended = 0

    def took(self, begun: float) -> bool:
        """Count a call that began at `begun`; whether its worker makes another one."""
        now = time.perf_counter()
        self._ended += 1
        if self.load.seconds == 0:
            self._latencies.append(now - begun)
            return False
        if self._warm <= now < self._end:
            if not self._latencies:
                self._cpu = time.process_time()
            self._latencies.append(now - begun)
        return now < self._end

    def lost(self, error: BaseException | str) -> bool:
        """Count a call that failed; whether its worker makes another one."""
        self.failed += 1
        self.first_failure = self.first_failure or repr(error)[:300]
        return self.load.seconds > 0 and time.perf_counter() < self._end

    def report(self) -> None:
        """Print what was seen: times in seconds, memory in bytes."""
        wall = time.perf_counter() - self._start
        cpu = time.process_time() - self._cpu
        latencies = sorted(self._latencies)
        counted = len(latencies)
        result = {
            "calls": counted,
            "failed": self.failed,
            "first_failure": self.first_failure,
            "wall": wall,
            "rate": counted / (self.load.seconds or wall),
            "cpu_per_call": cpu / max(1, counted),
            "ended": self._ended,
            "cpu": time.process_time() - self._first_cpu,
            "percentiles": [latencies[counted * p // 100] for p in range(100)] if counted else [],
            "memory_growth": _memory("VmHWM") - self._memory,
        }
        sys.stdout.write("\n" + json.dumps(result) + "\n")
        sys.stdout.flush()


def work(call: Callable[[Payload], Payload], tally: Tally) -> None:
    """What one worker does: in a thread or in a greenlet."""
    payload = tally.load.payload
    going = True
    while going:
        begun = time.perf_counter()
        try:
            answer = call(payload)
        except Exception as error:  # noqa: BLE001  # whatever a system raises
            going = tally.lost(error)
        else:
            going = tally.took(begun) if answer == payload else tally.lost(f"answered {answer}")


async def work_async(call: Callable[[Payload], Awaitable[Payload]], tally: Tally) -> None:
    """What one worker does, for asyncio."""
    payload = tally.load.payload
    going = True
    while going:
        begun = time.perf_counter()
        try:
            answer = await call(payload)
        except Exception as error:  # noqa: BLE001  # whatever a system raises
            going = tally.lost(error)
        else:
            going = tally.took(begun) if answer == payload else tally.lost(f"answered {answer}")


def work_in_threads(connect: Callable[[], Callable[[Payload], Payload]], load: Load) -> None:
    """Run the workers in a native thread each, with a connection each, and report.

    All connect, a few at a time, before the first one calls: what counts is calls.
    """
    threading.stack_size(256 * 1024)
    tallies: list[Tally] = []
    connecting = threading.Semaphore(CONNECTING_AT_ONCE)
    all_connected = threading.Barrier(load.at_once, action=lambda: tallies.append(Tally(load)))

    def worker() -> None:
        call, problem = None, ""
        try:
            with connecting:
                call = connect()
        except Exception as error:  # noqa: BLE001  # whatever a system raises
            problem = repr(error)
        all_connected.wait()
        if call is None:
            tallies[0].lost(problem)
        else:
            work(call, tallies[0])

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(load.at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tallies[0].report()


def _memory(kind: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024
    return 0

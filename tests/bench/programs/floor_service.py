"""The floor: a bare pyzmq echo. `floor_service ADDRESS SECONDS`."""

import math
import sys
import time
from collections import deque

import zmq


def main() -> None:
    """Send back every message, `SECONDS` later."""
    address, seconds = sys.argv[1], float(sys.argv[2])
    router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    router.set_hwm(0)
    router.bind(address)
    if not seconds:
        while True:
            router.send_multipart(router.recv_multipart())
    waiting: deque[tuple[float, list[bytes]]] = deque()
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if router.poll(None if pause is None else math.ceil(pause * 1000)):
            waiting.append((time.monotonic() + seconds, router.recv_multipart()))
        while waiting and waiting[0][0] <= time.monotonic():
            router.send_multipart(waiting.popleft()[1])


if __name__ == "__main__":
    main()

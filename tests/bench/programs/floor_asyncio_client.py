"""The floor on asyncio: a bare pyzmq DEALER that keeps so many messages under way."""

import asyncio
import json
import time
from collections import deque

import zmq
import zmq.asyncio

from tests.bench.programs.load import Load, Tally


async def main() -> None:
    """Answers come in the order of the calls, so the oldest call is the one answered."""
    load = Load.asked_for()
    message = json.dumps(load.payload, separators=(",", ":")).encode()
    dealer = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    dealer.set_hwm(0)
    dealer.connect(load.address)
    tally = Tally(load)
    begun: deque[float] = deque()
    for _ in range(load.at_once):
        begun.append(time.perf_counter())
        await dealer.send(message)
    while begun:
        await dealer.recv()
        if tally.took(begun.popleft()):
            begun.append(time.perf_counter())
            await dealer.send(message)
    tally.report()
    dealer.close(0)


if __name__ == "__main__":
    asyncio.run(main())

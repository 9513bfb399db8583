"""The floor on asyncio: a bare pyzmq echo. `floor_asyncio_service ADDRESS SECONDS`."""

import asyncio
import sys

import zmq
import zmq.asyncio


async def main() -> None:
    """Send back every message; with `SECONDS` each in a task of its own, so much later."""
    address, seconds = sys.argv[1], float(sys.argv[2])
    router = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
    router.set_hwm(0)
    router.bind(address)

    async def answer_later(frames: list[bytes]) -> None:
        await asyncio.sleep(seconds)
        await router.send_multipart(frames)

    tasks = set()
    while True:
        frames = await router.recv_multipart()
        if seconds:
            task = asyncio.create_task(answer_later(frames))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            await router.send_multipart(frames)


if __name__ == "__main__":
    asyncio.run(main())

"""The floor on asyncio: a bare handler behind Mongrel2, a task for each page.

`floor_asyncio_pages PULL_ADDRESS PUB_ADDRESS SERVICE_ADDRESS`; /plain is answered without a call.
"""

import asyncio
import sys

import zmq
import zmq.asyncio

from tests.bench.programs.floor_pages import MESSAGE, page


async def main() -> None:
    """One DEALER for all; a browser's number in front of a call says whose the answer is."""
    context = zmq.asyncio.Context.instance()
    pull, pub, dealer = (context.socket(kind) for kind in (zmq.PULL, zmq.PUB, zmq.DEALER))
    for socket, address in zip((pull, pub, dealer), sys.argv[1:], strict=True):
        socket.connect(address)
    waiting: dict[bytes, asyncio.Future[bytes]] = {}
    tasks = set()

    async def read() -> None:
        while True:
            connection, answer = await dealer.recv_multipart()
            waiting.pop(connection).set_result(answer)

    async def answer_page(sender: bytes, connection: bytes) -> None:
        waiting[connection] = answer = asyncio.get_running_loop().create_future()
        await dealer.send_multipart([connection, MESSAGE])
        await pub.send(page(sender, connection, await answer))

    reader = asyncio.create_task(read())
    while not reader.done():
        sender, connection, path, _ = (await pull.recv()).split(b" ", 3)
        if path == b"/plain":
            await pub.send(page(sender, connection, MESSAGE))
        elif path == b"/":  # Mongrel2's own notices are not answered
            task = asyncio.create_task(answer_page(sender, connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())

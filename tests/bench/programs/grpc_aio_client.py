"""gRPC on asyncio: a task for each worker, one channel."""

import asyncio
import json
from urllib.parse import urlsplit

import grpc

from tests.bench.programs.load import CALL_TIMEOUT, Load, Payload, Tally, work_async


async def main() -> None:
    """Run the workers."""
    load = Load.asked_for()
    async with grpc.aio.insecure_channel(urlsplit(load.address).netloc) as channel:
        echo = channel.unary_unary(
            "/Bench/Echo", lambda payload: json.dumps(payload).encode(), json.loads
        )

        async def call(payload: Payload) -> Payload:
            answer: Payload = await echo(payload, timeout=CALL_TIMEOUT)
            return answer

        tally = Tally(load)
        await asyncio.gather(*(work_async(call, tally) for _ in range(load.at_once)))
        tally.report()


if __name__ == "__main__":
    asyncio.run(main())

"""gRPC on asyncio: an echo service. `grpc_aio_service ADDRESS SECONDS`."""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import grpc

ADDRESS, SECONDS = urlsplit(sys.argv[1]).netloc, float(sys.argv[2])

# By default a server cancels some of the calls that come while 1,000 wait to be begun.
OPTIONS = [
    ("grpc.server.max_pending_requests", 50_000),
    ("grpc.server.max_pending_requests_hard_limit", 50_000),
]


async def echo(payload: dict[str, str], _context: Any) -> dict[str, str]:
    """Answer a call, a while later."""
    if SECONDS:
        await asyncio.sleep(SECONDS)
    return {"text": payload["text"]}


async def main() -> None:
    """Serve."""
    server = grpc.aio.server(options=OPTIONS)
    method = grpc.unary_unary_rpc_method_handler(
        echo, json.loads, lambda answer: json.dumps(answer).encode()
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("Bench", {"Echo": method}),)
    )
    server.add_insecure_port(ADDRESS)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())

"""gRPC on asyncio in uvicorn: / calls the service, /plain does not."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from tests.bench.programs.wsgi import HOST, PAYLOAD, PORT

echo: list[Any] = []


async def app(
    scope: dict[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The ASGI application; the channel is made in the event loop that uses it."""
    if not echo:
        channel = grpc.aio.insecure_channel(f"{HOST}:{PORT}")
        echo.append(
            channel.unary_unary(
                "/Bench/Echo", lambda payload: json.dumps(payload).encode(), json.loads
            )
        )
    answer = PAYLOAD if scope["path"] == "/plain" else await echo[0](PAYLOAD)
    body = answer["text"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

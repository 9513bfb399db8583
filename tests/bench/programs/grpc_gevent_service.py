"""gRPC under gevent: an echo service. `grpc_gevent_service ADDRESS SECONDS`."""

import gevent.monkey

gevent.monkey.patch_all()

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import grpc
from grpc.experimental.gevent import init_gevent

ADDRESS, SECONDS = urlsplit(sys.argv[1]).netloc, float(sys.argv[2])

# By default a server cancels some of the calls that come while 1,000 wait to be begun.
OPTIONS = [
    ("grpc.server.max_pending_requests", 50_000),
    ("grpc.server.max_pending_requests_hard_limit", 50_000),
]


def echo(payload: dict[str, str], _context: Any) -> dict[str, str]:
    """Answer a call, a while later."""
    if SECONDS:
        time.sleep(SECONDS)
    return {"text": payload["text"]}


def main() -> None:
    """Serve: the pool's threads are greenlets, one for each call."""
    init_gevent()
    server = grpc.server(ThreadPoolExecutor(25_000), options=OPTIONS)
    method = grpc.unary_unary_rpc_method_handler(
        echo, json.loads, lambda answer: json.dumps(answer).encode()
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("Bench", {"Echo": method}),)
    )
    server.add_insecure_port(ADDRESS)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

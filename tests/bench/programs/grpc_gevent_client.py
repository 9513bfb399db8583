"""gRPC under gevent: a greenlet for each worker, one channel."""

import gevent.monkey

gevent.monkey.patch_all()

import json
from urllib.parse import urlsplit

import gevent
import grpc
from grpc.experimental.gevent import init_gevent

from tests.bench.programs.load import CALL_TIMEOUT, Load, Payload, Tally, work


def main() -> None:
    """Run the workers."""
    init_gevent()
    load = Load.asked_for()
    channel = grpc.insecure_channel(urlsplit(load.address).netloc)
    echo = channel.unary_unary(
        "/Bench/Echo", lambda payload: json.dumps(payload).encode(), json.loads
    )

    def call(payload: Payload) -> Payload:
        answer: Payload = echo(payload, timeout=CALL_TIMEOUT)
        return answer

    tally = Tally(load)
    gevent.joinall([gevent.spawn(work, call, tally) for _ in range(load.at_once)])
    tally.report()


if __name__ == "__main__":
    main()

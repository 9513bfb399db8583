"""gRPC in gunicorn's gevent workers, which have patched everything by now."""

import json
from typing import Any

import grpc
from grpc.experimental.gevent import init_gevent

from tests.bench.programs.wsgi import HOST, PORT, pages

init_gevent()
channel = grpc.insecure_channel(f"{HOST}:{PORT}")
echo: Any = channel.unary_unary(
    "/Bench/Echo", lambda payload: json.dumps(payload).encode(), json.loads
)
app = pages(echo)

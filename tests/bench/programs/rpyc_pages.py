"""RPyC in gunicorn's gevent workers."""

import json
from typing import Any

import rpyc

from tests.bench.programs.pool import Pool
from tests.bench.programs.wsgi import HOST, PORT, pages


def connect() -> Any:
    """A connection, and the remote function."""
    return rpyc.connect(HOST, PORT).root.call


pool = Pool(connect)
app = pages(lambda payload: json.loads(pool.use(lambda call: call(json.dumps(payload)))))

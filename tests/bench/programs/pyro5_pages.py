"""Pyro5 in gunicorn's gevent workers."""

import Pyro5.api

from tests.bench.programs.pool import Pool
from tests.bench.programs.wsgi import HOST, PORT, pages


def connect() -> Pyro5.api.Proxy:
    """A proxy, which belongs to the greenlet that uses it."""
    return Pyro5.api.Proxy(f"PYRO:echo@{HOST}:{PORT}")


def call(proxy: Pyro5.api.Proxy, payload: dict[str, str]) -> dict[str, str]:
    """Call with a proxy another greenlet may have used before."""
    proxy._pyroClaimOwnership()
    answer: dict[str, str] = proxy.call(payload)
    return answer


pool = Pool(connect)
app = pages(lambda payload: pool.use(lambda proxy: call(proxy, payload)))

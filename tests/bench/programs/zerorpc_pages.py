"""zerorpc in gunicorn's gevent workers."""

import zerorpc

from tests.bench.programs.wsgi import SERVICE, pages

client = zerorpc.Client(timeout=60, heartbeat=None)
client.connect(SERVICE)
app = pages(client.call_echo)

"""Celery in gunicorn's gevent workers, which have patched everything by now."""

import os

from tests.bench.programs.wsgi import HOST, PORT, pages

os.environ["REDIS"] = f"redis://{HOST}:{PORT}/0"
from tests.bench.programs.celery_app import echo  # it reads REDIS

app = pages(lambda payload: echo.delay(payload).get(timeout=60))

"""Celery with Redis as broker and result backend: the task both sides know."""

import os
import time

from celery import Celery

REDIS = os.environ["REDIS"]
SECONDS = float(os.environ.get("SECONDS", "0"))

app = Celery("bench", broker=REDIS, backend=REDIS)
app.conf.update(
    worker_prefetch_multiplier=1000,
    task_ignore_result=False,
    result_expires=300,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="echo")  # type: ignore[untyped-decorator]  # Celery has no types
def echo(payload: dict[str, str]) -> dict[str, str]:
    """Return the payload, a while later."""
    if SECONDS:
        time.sleep(SECONDS)
    return {"text": payload["text"]}

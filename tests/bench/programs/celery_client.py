"""Celery with Redis: a greenlet for each worker."""

import gevent.monkey

gevent.monkey.patch_all()

import os
from urllib.parse import urlsplit

import gevent

from tests.bench.programs.load import CALL_TIMEOUT, Load, Payload, Tally, work


def main() -> None:
    """Run the workers, once the service has answered a first call."""
    load = Load.asked_for()
    os.environ["REDIS"] = f"redis://{urlsplit(load.address).netloc}/0"
    from tests.bench.programs.celery_app import echo  # noqa: PLC0415  # it reads REDIS

    def call(payload: Payload) -> Payload:
        answer: Payload = echo.delay(payload).get(timeout=CALL_TIMEOUT)
        return answer

    call(load.payload)
    tally = Tally(load)
    gevent.joinall([gevent.spawn(work, call, tally) for _ in range(load.at_once)])
    tally.report()


if __name__ == "__main__":
    main()

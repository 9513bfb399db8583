"""Celery with Redis: both the broker and the worker. `celery_service ADDRESS SECONDS`."""

import os
import shutil
import subprocess
import sys
import time
from urllib.parse import urlsplit

from tests.ports import listens

ADDRESS, SECONDS = urlsplit(sys.argv[1]), sys.argv[2]


def main() -> None:
    """Start Redis, which keeps nothing, and become a worker with a greenlet for each task."""
    redis = shutil.which("redis-server")
    if not redis:
        sys.exit("skipped: redis-server is not installed")
    port = ADDRESS.port or 0
    settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    subprocess.Popen([redis, *settings, "--maxclients", "20000"])
    deadline = time.monotonic() + 10
    while not listens(port):
        if time.monotonic() > deadline:
            sys.exit("Redis did not start in 10 s")
        time.sleep(0.02)
    os.environ |= {"REDIS": f"redis://{ADDRESS.netloc}/0", "SECONDS": SECONDS}
    worker = ["-m", "celery", "-A", "tests.bench.programs.celery_app", "worker"]
    quiet = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    pool = ["--pool", "gevent", "--concurrency", "6000"]
    os.execv(sys.executable, [sys.executable, *worker, *pool, *quiet])  # noqa: S606


if __name__ == "__main__":
    main()

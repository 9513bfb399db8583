"""The slow service with two more paths; what it executes, it writes down before anything else."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, "/app")

from app import app  # type: ignore[import-not-found]
from brubeckservice.base import ServiceMessageHandler, coro_sleep

HOST = socket.gethostname()
# Unbuffered, a line each: what is written stays, however this process ends.
BOOK = os.open(Path("/ledger") / HOST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


class Execute(ServiceMessageHandler):
    """Executes an entry of the ledger, which takes so many seconds."""

    def request(self) -> Any:
        entry = self.message.get_argument("id")
        os.write(BOOK, f"{entry} {HOST} {time.time()}\n".encode())
        self.work(float(self.message.get_argument("seconds") or 0))
        self.add_to_payload("id", entry)
        return self.render(200)

    def work(self, seconds: float) -> None:
        """Wait for something."""
        coro_sleep(seconds)


class Compute(Execute):
    """Computes instead of waiting."""

    cpu_bound = True

    def work(self, seconds: float) -> None:
        """Keep a processor busy."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sum(range(1000))


app.add_route_rule(r"^/execute$", Execute)
app.add_route_rule(r"^/compute$", Compute)

if os.environ.get("LATER_VERSION"):
    import later_version  # type: ignore[import-not-found]

    later_version.speak()

if __name__ == "__main__":
    app.run()

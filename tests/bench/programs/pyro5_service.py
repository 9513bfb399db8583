"""Pyro5: an echo service. `pyro5_service ADDRESS SECONDS`."""

import sys
import threading
import time
from urllib.parse import urlsplit

import Pyro5.api
from Pyro5 import config

ADDRESS, SECONDS = urlsplit(sys.argv[1]), float(sys.argv[2])


@Pyro5.api.expose
class Echo:
    """Returns the payload, a while later."""

    def call(self, payload: dict[str, str]) -> dict[str, str]:
        """Answer a call."""
        if SECONDS:
            time.sleep(SECONDS)
        return {"text": payload["text"]}


def main() -> None:
    """Serve: a thread for each connection."""
    threading.stack_size(256 * 1024)
    config.THREADPOOL_SIZE = 25_000
    daemon = Pyro5.api.Daemon(host=ADDRESS.hostname, port=ADDRESS.port)
    daemon.register(Echo(), "echo")
    daemon.requestLoop()


if __name__ == "__main__":
    main()

"""RPyC: an echo service. `rpyc_service ADDRESS SECONDS`."""

import json
import sys
import threading
import time
from urllib.parse import urlsplit

import rpyc
from rpyc.utils.server import ThreadedServer

ADDRESS, SECONDS = urlsplit(sys.argv[1]), float(sys.argv[2])


class Echo(rpyc.Service):  # type: ignore[misc]  # RPyC has no types
    """Returns the payload, a while later."""

    def exposed_call(self, text: str) -> str:
        """Answer a call."""
        if SECONDS:
            time.sleep(SECONDS)
        return json.dumps({"text": json.loads(text)["text"]})


def main() -> None:
    """Serve: a thread for each connection."""
    threading.stack_size(256 * 1024)
    ThreadedServer(Echo, hostname=ADDRESS.hostname, port=ADDRESS.port, backlog=1024).start()


if __name__ == "__main__":
    main()

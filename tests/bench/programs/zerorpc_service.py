"""zerorpc: an echo service. `zerorpc_service ADDRESS SECONDS`."""

import sys

import gevent
import zerorpc

ADDRESS, SECONDS = sys.argv[1], float(sys.argv[2])


class Echo:
    """Returns the payload, a while later."""

    def call_echo(self, payload: dict[str, str]) -> dict[str, str]:
        """Answer a call."""
        if SECONDS:
            gevent.sleep(SECONDS)
        return {"text": payload["text"]}


def main() -> None:
    """Serve: a greenlet for each call."""
    server = zerorpc.Server(Echo(), heartbeat=None, pool_size=None)
    server.bind(ADDRESS)
    server.run()


if __name__ == "__main__":
    main()

"""zerorpc: a greenlet for each worker, one connection."""

import gevent
import zerorpc

from tests.bench.programs.load import CALL_TIMEOUT, Load, Tally, work


def main() -> None:
    """Run the workers."""
    load = Load.asked_for()
    client = zerorpc.Client(timeout=CALL_TIMEOUT, heartbeat=None)
    client.connect(load.address)
    tally = Tally(load)
    gevent.joinall([gevent.spawn(work, client.call_echo, tally) for _ in range(load.at_once)])
    tally.report()


if __name__ == "__main__":
    main()

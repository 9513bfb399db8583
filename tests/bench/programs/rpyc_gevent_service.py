"""RPyC under gevent: the same echo service. `rpyc_gevent_service ADDRESS SECONDS`."""

import gevent.monkey

gevent.monkey.patch_all()

from tests.bench.programs.rpyc_service import main

if __name__ == "__main__":
    main()

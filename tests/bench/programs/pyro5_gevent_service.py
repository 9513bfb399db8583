"""Pyro5 under gevent: the same echo service. `pyro5_gevent_service ADDRESS SECONDS`."""

import gevent.monkey

gevent.monkey.patch_all()

from tests.bench.programs.pyro5_service import main

if __name__ == "__main__":
    main()

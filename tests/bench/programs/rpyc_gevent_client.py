"""RPyC under gevent: a greenlet and a connection for each worker."""

import gevent.monkey

gevent.monkey.patch_all()

from tests.bench.programs.rpyc_client import main

if __name__ == "__main__":
    main()

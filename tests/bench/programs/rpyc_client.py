"""RPyC: a thread and a connection for each worker."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import rpyc

from tests.bench.programs.load import CALL_TIMEOUT, Load, Payload, work_in_threads


def main() -> None:
    """Run the workers. JSON travels by value; a dictionary would stay, and be asked from afar."""
    load = Load.asked_for()
    address = urlsplit(load.address)

    def connect() -> Callable[[Payload], Payload]:
        config: dict[str, Any] = {"sync_request_timeout": CALL_TIMEOUT}
        connection = rpyc.connect(address.hostname, address.port, config=config)
        call = connection.root.call
        return lambda payload: json.loads(call(json.dumps(payload)))

    work_in_threads(connect, load)


if __name__ == "__main__":
    main()

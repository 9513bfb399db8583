"""Pyro5: a thread and a proxy for each worker."""

from collections.abc import Callable
from urllib.parse import urlsplit

import Pyro5.api

from tests.bench.programs.load import Load, Payload, work_in_threads


def main() -> None:
    """Run the workers."""
    load = Load.asked_for()
    uri = f"PYRO:echo@{urlsplit(load.address).netloc}"

    def connect() -> Callable[[Payload], Payload]:
        proxy = Pyro5.api.Proxy(uri)
        proxy._pyroBind()
        call: Callable[[Payload], Payload] = proxy.call
        return call

    work_in_threads(connect, load)


if __name__ == "__main__":
    main()

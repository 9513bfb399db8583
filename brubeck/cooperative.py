"""Makes the process cooperative on import, as Brubeck always promised.

Its own module, so that an import line says it, and first, before anything keeps an
unpatched `socket` or `threading`.
"""

import logging
import threading
from typing import Any

from gevent import config, monkey

config.track_greenlet_tree = False  # who spawned whom: for debuggers, and not for nothing
monkey.patch_all()


class _ThreadingOfLogging:
    """`threading`, with locks of Python's own.

    Between native threads and the event loop gevent's do not hold: a thread that logs would hang,
    or make a line of the event loop fail.
    """

    RLock = staticmethod(monkey.get_original("_thread", "RLock"))

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


logging.threading = _ThreadingOfLogging()  # type: ignore[attr-defined, assignment]
logging._lock = _ThreadingOfLogging.RLock()  # type: ignore[attr-defined]  # noqa: SLF001
for _reference in list(logging._handlerList):  # type: ignore[attr-defined]  # noqa: SLF001
    if (_handler := _reference()) is not None:
        _handler.createLock()

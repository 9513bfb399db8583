"""Names for requests: unique among all processes, short enough to read in a log."""

import itertools
import secrets

_process = secrets.token_hex(4)
_numbers = itertools.count(1)


def new_request_id() -> str:
    """A name nobody else gives: the process's random part, and a number."""
    return f"{_process}-{next(_numbers):x}"

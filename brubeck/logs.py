"""Logging: set up in `Brubeck.run`, never on import.

Every line about a request carries its `request_id`, so that one search shows its whole way
through all processes. No line holds a raw control character that a peer sent.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache

import msgspec

from brubeck.environment import SettingError

current_trace_id: Callable[[], str] | None = None
"""Which trace the running greenlet works for, or an empty text; set where there are traces."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def configure(level: int | str, log_format: str) -> None:
    """Log to standard output, as `text` or as one JSON object a line (`json`).

    Raises:
        SettingError: if there is no such level or format.
    """
    formatters = {"text": TextFormatter, "json": JsonFormatter}
    if log_format not in formatters:
        raise SettingError(f"log_format is {log_format!r}, not one of {', '.join(formatters)}")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatters[log_format]())
    _leave_out_what_no_line_shows()
    try:
        logging.basicConfig(level=level, handlers=[handler])
    except (TypeError, ValueError):
        raise SettingError(f"log_level is {level!r}, not a level of logging") from None


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, trace_id, error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        if current_trace_id and (trace_id := _given_trace_id(record) or current_trace_id()):
            line["trace_id"] = trace_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            text = msgspec.json.encode(line).decode()
        except UnicodeEncodeError:  # half a character, such as a name of a file may have
            return json.dumps(line)
        return text if text.isascii() else json.dumps(line)  # as ASCII, whatever a peer sent


class TextFormatter(logging.Formatter):
    """Lines to read: time, level, request id, message; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        ids = getattr(record, "request_id", "") or "-"
        if current_trace_id and (trace_id := _given_trace_id(record) or current_trace_id()):
            ids += f" trace={trace_id}"
        message = record.getMessage()
        lines = [f"{_timestamp(record)} {record.levelname:<7} {ids} {record.name}: {message}"]
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        return "\n  ".join(map(_escaped, lines))


class Occasionally:
    """Lets a log line through at most once in `seconds`, and counts what it held back."""

    def __init__(self, logger: logging.Logger, level: int, seconds: float = 5.0) -> None:
        self._logger = logger
        self._level = level
        self._seconds = seconds
        self._next = 0.0
        self._held_back = 0

    def __call__(self, text: str, *args: object) -> None:
        """Log the line, or count it."""
        now = time.monotonic()
        if now < self._next:
            self._held_back += 1
            return
        held_back, self._held_back, self._next = self._held_back, 0, now + self._seconds
        more = f" ({held_back} more like it)" if held_back else ""
        self._logger.log(self._level, "%s%s", text % args, more)


def _leave_out_what_no_line_shows() -> None:
    """Half of a line's cost: see "Optimization" in Python's logging how-to."""
    logging._srcfile = None  # noqa: SLF001  # the way it says
    for what in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, what, False)


def _given_trace_id(record: logging.LogRecord) -> str:
    return getattr(record, "trace_id", "")


def _escaped(line: str) -> str:
    if line.isprintable():
        return line
    line = _CONTROL.sub(lambda match: repr(match[0])[1:-1], line)
    return line.encode("utf-8", "backslashreplace").decode()


def _timestamp(record: logging.LogRecord) -> str:
    return f"{_to_the_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))

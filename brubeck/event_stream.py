"""Events as browsers read them from a stream: `text/event-stream` (WHATWG HTML, section 9.2)."""

from collections.abc import Mapping
from types import MappingProxyType

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would keep events back until it has a page of them
    }
)
"""The headers of such an answer."""

HEARTBEAT = b":\n\n"
"""A comment. Nobody is told of it; it shows that the stream is alive."""


def encode_event(data: str | bytes, event: str = "") -> bytes:
    """An event that carries `data`; without a name its listeners hear `message`.

    Raises:
        ValueError: if the name has a line break.
    """
    if "\n" in event or "\r" in event:
        raise ValueError(f"a line break in the name of an event: {event!r}")
    data = data.encode() if isinstance(data, str) else data
    lines = [
        b"data: " + line for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    ]
    if event:
        lines.insert(0, b"event: " + event.encode())
    return b"\n".join(lines) + b"\n\n"

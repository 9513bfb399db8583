"""Calls that somebody looks at: the life of each, as a stream of events.

An event is all there is to say about a call at that moment. So a viewer that reads slowly needs
only the newest of each, and what is kept for a viewer does not grow.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from gevent.event import Event

from brubeck.event_stream import HEARTBEAT, encode_event
from brubeckservice.base import coro_sleep

PAUSE = 0.1
"""Seconds between two pieces of a stream, at least: faster than that nobody can look."""

HEARTBEAT_INTERVAL = 10.0
"""Seconds without a piece, at most."""

State = Literal["waiting", "working", "done", "lost", "refused", "late", "failed"]

OUTCOMES: dict[int, State] = {200: "done", 502: "lost", 503: "refused", 504: "late"}
"""What a status says; the others say that the service's handler failed."""

followed: dict[str, tuple["Followed", "Call"]] = {}
"""The calls that viewers follow, by their request ids."""


class Call(msgspec.Struct):
    """A call as a viewer sees it."""

    id: str
    kind: str
    client_app: str
    state: State = "waiting"
    replica: str = ""
    fraction: float = 0.0
    note: str = ""
    """What the service says of its progress; in the end, of the outcome."""

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.state not in ("waiting", "working")


class Followed:
    """Calls that are followed until the `with` block ends."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls = {call.id: call for call in calls}
        self._changed = dict(self._calls)
        self._changes = Event()

    def __enter__(self) -> "Followed":
        followed.update({call.id: (self, call) for call in self._calls.values()})
        return self

    def __exit__(self, *_: object) -> None:
        for request_id in self._calls:
            del followed[request_id]

    def sent(self, call: Call, replica: str) -> None:
        """The call is at a replica."""
        call.state, call.replica, call.fraction, call.note = "working", replica, 0.0, ""
        self._tell(call)

    def progressed(self, call: Call, fraction: float, note: str) -> None:
        """The replica has come this far."""
        call.fraction, call.note = fraction, note
        self._tell(call)

    def ended(self, call: Call, status_code: int, note: str) -> None:
        """The call has its outcome."""
        call.state, call.note = OUTCOMES.get(status_code, "failed"), note
        self._tell(call)

    def events(self) -> Iterator[bytes]:
        """What is new, again and again until all calls have ended."""
        while self._changed or not all(call.ended for call in self._calls.values()):
            self._changes.wait(HEARTBEAT_INTERVAL)
            yield self.news() or HEARTBEAT
            coro_sleep(PAUSE)

    def news(self) -> bytes:
        """An event for each call about which there is something new."""
        self._changes.clear()
        changed, self._changed = self._changed, {}
        return b"".join(encode_event(msgspec.json.encode(c), "call") for c in changed.values())

    def _tell(self, call: Call) -> None:
        self._changed[call.id] = call
        self._changes.set()


def response_arrived(request_id: str, status_code: int, note: str) -> None:
    """The application's handler was told the response to a call that did not wait."""
    if request_id in followed:
        viewer, call = followed[request_id]
        if call.kind == "async":
            viewer.ended(call, status_code, note)

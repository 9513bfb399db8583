"""The calls that wait for their outcome.

A call is entered before it is sent, so that no answer can be too fast, and gets exactly one
outcome: a response, or the error of whatever went wrong first. Whatever comes later finds
nobody. Outcomes are given in the event loop only. They are values, errors too: what is raised
where a call waits is no outcome of it.
"""

import itertools
from collections.abc import Iterator

from gevent.hub import Waiter

from brubeck.deadlines import Deadlines
from brubeckservice.errors import ServiceError, ServiceRefused, ServiceTimeout
from brubeckservice.protocol import Progress, ServiceResponse
from brubeckservice.session import Session

Outcome = ServiceResponse | ServiceError


class PendingCall:
    """One call: who waits, at which session, for an answer about which path."""

    __slots__ = ("id", "path", "seconds", "session", "waiter")

    def __init__(self, id: int, session: Session, path: str, seconds: float) -> None:
        self.id = id
        self.session = session
        self.path = path
        self.seconds = seconds
        self.waiter: Waiter[Outcome | Progress] = Waiter()
        """Gets the outcome; before it, word of progress, of which a newer one takes the place."""


class Pending:
    """At most `limit` calls."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._calls: dict[int, PendingCall] = {}
        self._ids = itertools.count(1)
        self._deadlines: Deadlines[int] = Deadlines(self._expire)

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether there is no room for another call."""
        return len(self._calls) >= self.limit

    def enter(self, session: Session, path: str, seconds: float) -> PendingCall:
        """A new call, with an id larger than any before, that fails after `seconds`.

        Raises:
            ServiceRefused: if there are too many already.
            OverflowError, ValueError: if `seconds` have no end, or are no number.
        """
        if self.full:
            raise ServiceRefused(f"{self.limit} calls are waiting for answers already")
        call = PendingCall(next(self._ids), session, path, seconds)
        self._deadlines.add(call.id, seconds)
        self._calls[call.id] = call
        return call

    def leave(self, call: PendingCall) -> None:
        """Whoever entered a call leaves, whatever happened."""
        self._calls.pop(call.id, None)

    def find(self, session: Session, id: int) -> PendingCall | None:
        """The call a session may answer: one that waits, and was sent there."""
        call = self._calls.get(id)
        return call if call is not None and call.session is session else None

    def finish(self, call: PendingCall, outcome: Outcome) -> None:
        """Give a call its outcome and wake who waits for it."""
        del self._calls[call.id]
        call.waiter.switch(outcome)

    def at(self, session: Session) -> Iterator[PendingCall]:
        """The calls in hand at a session."""
        return (call for call in list(self._calls.values()) if call.session is session)

    def close(self) -> None:
        """Stop the clock."""
        self._deadlines.close()

    def _expire(self, id: int) -> None:
        if call := self._calls.get(id):
            self.finish(
                call,
                ServiceTimeout(
                    f"no answer from {call.session.endpoint} about {call.path} "
                    f"within {call.seconds:.3g} s"
                ),
            )

"""What all connections have in common: where messages come from, and how long they live.

A connection opens its sockets when the application runs, gives each message to the
application in a greenlet, and ends when what is in hand is answered.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from brubeck.handlers import MessageHandler
from brubeck.health import HEALTHY
from brubeck.in_hand import InHand, Job
from brubeck.message_job import MessageJob, RecordedJob
from brubeck.metrics import UNMATCHED, Reading
from brubeck.request import Request
from brubeck.response import Response

if TYPE_CHECKING:
    from brubeck.application import Brubeck
    from brubeck.spans import ServerSpan

logger = logging.getLogger(__name__)

MAX_IN_HAND = 10_000
"""HTTP requests being handled at a time; the next ones get a 503 page."""


class Connection:
    """What connections have in common: work in hand, and a life that `stop` ends."""

    def __init__(self, max_in_hand: int) -> None:
        self.dropped: Counter[str] = Counter()
        """Messages that reached nobody, by the reason."""
        self.refused: Counter[str] = Counter()
        """Messages that were not handled, by the reason their senders were told."""
        self._in_hand = InHand(max_in_hand)
        self._stopping = Event()

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken any more."""
        return self._stopping.is_set()

    def recv_forever_ever(self, application: "Brubeck") -> None:
        """Receive and answer messages until `stop`, then finish what is in hand.

        Raises:
            SettingError: if it cannot begin; ends the program with one sentence.
        """
        self._application = application
        self._in_hand.pool = application.pool
        self._open()
        try:
            self._stopping.wait()
            self._refuse_new_work()
            self._finish(application, time.monotonic() + application.drain_timeout)
        finally:
            self.close()

    def stop(self) -> None:
        """Take no new work; `recv_forever_ever` returns when what is in hand is done."""
        self._stopping.set()

    def health(self) -> str:
        """`ok`, or what is wrong."""
        return HEALTHY

    def readings(self) -> Iterator[Reading]:
        """How it is, for the metrics."""
        yield Reading("brubeck_healthy", self.health() == HEALTHY)
        yield Reading("brubeck_in_hand", len(self._in_hand))
        yield Reading("brubeck_in_hand_limit", self._in_hand.limit)
        for reason, count in self.dropped.items():
            yield Reading("brubeck_dropped_total", count, {"reason": reason})
        for reason, count in self.refused.items():
            yield Reading("brubeck_refused_total", count, {"reason": reason})

    def send(self, uuid: str, conn_id: str, msg: bytes) -> None:
        """Send bytes to one browser's connection; raises as `reply_bulk`."""
        self.reply_bulk(uuid, [conn_id], msg)

    def reply(self, req: Request, msg: bytes) -> None:
        """Send bytes to the browser that made a request; raises as `reply_bulk`."""
        self.send(req.sender, req.conn_id, msg)

    def reply_bulk(self, uuid: str, idents: Sequence[str], data: bytes) -> None:
        """Send the same bytes to several connections of one Mongrel2; none close them.

        Raises:
            NotImplementedError: if there is no Mongrel2 at the other end.
        """
        raise NotImplementedError(f"{type(self).__name__} can only answer requests")

    def close_bulk(self, uuid: str, idents: Sequence[str]) -> None:
        """Close several connections of one Mongrel2; raises as `reply_bulk`."""
        self.reply_bulk(uuid, idents, b"")

    def close(self) -> None:
        """Send what is waiting to be sent, and close the sockets."""

    def _open(self) -> None:
        """Open the sockets; messages are taken from now on.

        Raises:
            SettingError: if they cannot be opened.
        """
        raise NotImplementedError

    def _refuse_new_work(self) -> None:
        """Called once, when `stop` was asked for."""

    def _finish(self, application: "Brubeck", end: float) -> None:
        """Wait for what is in hand, for the calls it left behind, and for what came meanwhile.

        Until `end`, by the monotonic clock.
        """
        lost = 0
        while not lost:
            self._in_hand.wait_until_empty(max(0.0, end - time.monotonic()))
            lost = application.finish_background(end - time.monotonic())
            if not len(self._in_hand) or time.monotonic() >= end:
                break
        if lost:
            logger.warning("calls that nobody waits for, lost at the end: %d", lost)
        if len(self._in_hand):
            logger.warning("still in hand at the end: %d", len(self._in_hand))

    def _note_reply(self, request: Request, status_code: int, started: float) -> None:
        """Log and count what a browser got."""
        now = time.monotonic()
        logger.info(
            "replied %s %s %d in %.0f ms",
            request.method,
            request.path,
            status_code,
            (now - started) * 1000,
            extra={"request_id": request.request_id, "trace_id": request.traceresponse[3:35]},
        )
        if (metrics := self._application.metrics) is not None:
            pattern = self._application.pattern_of(request)
            seconds = (request.head_sent_at or now) - started
            metrics.request_answered(
                request.method, pattern, status_code, seconds, request.request_id
            )

    def _note_abandoned(self, message: Any) -> None:
        """Count a message whose sender has gone before it was answered."""
        if (metrics := self._application.metrics) is not None:
            metrics.abandoned[self._application.pattern_of(message) or UNMATCHED] += 1

    def _handle(
        self,
        message: Any,
        seconds: float,
        base_handler: type[MessageHandler],
        answer: Callable[[Any], Any],
        *,
        begin: Callable[[], object] | None = None,
        stream: Callable[[Job, Response], Response] | None = None,
    ) -> MessageJob:
        """Have the application answer a message, once, within `seconds`.

        `begin` is called first, in the greenlet that handles the message. `stream` is given an
        answer whose body comes piece by piece, and returns it, or an error's, when it has come to
        its end.
        """
        kind: Callable[..., MessageJob] = MessageJob
        if (tracing := self._application.tracing) is not None:
            message, context, span = tracing.begin(self._application, message)
            kind = partial(_traced_job, context, span)
        job = kind(self._application, message, base_handler, answer, begin=begin, stream=stream)
        self._in_hand.start(job, seconds)
        return job


def _traced_job(
    context: Context | None, span: "ServerSpan | None", *what: Any, **how: Any
) -> MessageJob:
    job = MessageJob(*what, **how) if span is None else RecordedJob(span, *what, **how)
    job.context = context
    return job

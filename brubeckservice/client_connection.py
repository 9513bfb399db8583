"""The caller's connection to a service: each call goes to one replica and gets one outcome.

A call that cannot be given to any replica fails at once; only before the first attempt to
reach them has ended does it wait.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

import gevent
from gevent.pool import Pool
from msgspec.structs import replace

from brubeck.metrics import Reading
from brubeckservice import protocol
from brubeckservice.errors import (
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
)
from brubeckservice.pending import Outcome, Pending, PendingCall
from brubeckservice.progress import OnProgress, OnSent
from brubeckservice.protocol import Cancel, Progress, Refused, ServiceRequest, ServiceResponse
from brubeckservice.replicas import FIRST_ATTEMPT_TIMEOUT, Replicas, ReplicaState, State
from brubeckservice.session import Answer, Session

logger = logging.getLogger(__name__)

MAX_PENDING = 50_000
"""Calls that may wait for their outcome."""
MAX_BACKGROUND = 50_000
"""Calls whose callers do not wait that may be under way."""
MAX_ATTEMPTS = 3
"""Times a call that came to no harm is tried."""
MAX_TIMEOUT = protocol.MAX_BUDGET / 1000
"""Seconds that a call may take at most; a longer timeout means as many."""


def seconds_of(timeout: float) -> float:
    """The seconds that a call with this timeout may take.

    Raises:
        ValueError: if it is no number.
    """
    if math.isnan(timeout):
        raise ValueError("the timeout is no number")
    return min(timeout, MAX_TIMEOUT)


def not_sent(path: str) -> ServiceTimeout:
    """The error of a call that had no time left when it was about to be sent."""
    error = ServiceTimeout(f"no time left to call {path}: it was not sent")
    error.may_have_run = False
    return error


class ServiceClientConnection:
    """The service at `addr`: an address, or a sequence of them; so is its passphrase.

    Raises:
        ValueError: if it is not an address.
    """

    def __init__(self, addr: str | Sequence[str], passphrase: str | Sequence[str]) -> None:
        self.addr = addr
        self.dropped = 0
        """Answers nobody waited for any more."""
        self.background = Pool(MAX_BACKGROUND)
        """The greenlets of calls whose callers do not wait."""
        self.pending = Pending(MAX_PENDING)
        self._hub = gevent.get_hub()
        addresses = [addr] if isinstance(addr, str) else addr
        passphrases = [passphrase] if isinstance(passphrase, str) else passphrase
        self.name = ", ".join(addresses)
        """What the metrics call it."""
        self.replicas = Replicas(addresses, passphrases, self._on_answer, self._on_loss)

    def __repr__(self) -> str:
        replicas, calls = len(self.replicas), len(self.pending)
        return f"<ServiceClientConnection {self.addr} replicas={replicas} calls={calls}>"

    def call(
        self,
        request: ServiceRequest,
        timeout: float,
        idempotent: bool = False,
        on_progress: OnProgress | None = None,
        on_sent: OnSent | None = None,
    ) -> ServiceResponse:
        """Send a request and wait, this greenlet only, at most `timeout` seconds.

        A call that a stopping replica refused goes to another one; so does, if it is
        `idempotent`, one that was lost. `on_progress` and `on_sent` are called in this greenlet.
        Of what is reported while `on_progress` runs, only the newest reaches it. What they raise
        ends the call, is raised here as it is, and causes no second attempt.

        Raises:
            ServiceError: one of its kinds, if there is no response.
            TypeError: if the payload has no JSON form.
            ValueError: if the request is too long, or the timeout no number.
            RuntimeError: if called from another thread than the connection was made in.
        """
        self.check_thread()
        end = time.monotonic() + seconds_of(timeout)
        if not self.replicas:
            self.replicas.wait_for_first_attempt(timeout)
        tried: list[Session] = []
        lost: ServiceError | None = None
        while True:
            session = self.replicas.take(avoid=tried)
            if session.outstanding > session.limit:
                session = self._one_with_room(session, tried)
            try:
                outcome = self._call_at(session, request, end, on_progress, on_sent)
            finally:
                self.replicas.give_back(session)
            if isinstance(outcome, ServiceResponse):
                return outcome
            tried.append(session)
            if outcome.may_have_run:
                lost = outcome
            again = isinstance(outcome, ServiceRefused | ServiceLost) and (idempotent or not lost)
            if not again or len(tried) == MAX_ATTEMPTS or not self._can_go_elsewhere(tried):
                try:
                    raise lost or outcome  # however the later attempts ended
                finally:
                    del lost, outcome  # their tracebacks keep this frame, and it what was sent

    def refuse(self, _request: ServiceRequest, *_how: object) -> ServiceResponse:
        """In place of `call` where no more may be under way.

        Raises:
            ServiceRefused: always.
        """
        raise ServiceRefused("too many calls are under way")

    def check_thread(self) -> None:
        """Return if calls may be made where this is called.

        Raises:
            RuntimeError: if that is another thread than the connection was made in.
        """
        if gevent.get_hub() is not self._hub:
            raise RuntimeError("a call from another thread, such as that of a cpu_bound method")

    def check(self, seconds: float = FIRST_ATTEMPT_TIMEOUT) -> None:
        """Return if a replica is there and takes calls, though it may be full now.

        Waits at most `seconds` for the first attempt to reach them.

        Raises:
            ServiceError: what a call would meet otherwise.
            RuntimeError: if called from another thread than the connection was made in.
        """
        self.check_thread()
        self.replicas.wait_for_first_attempt(seconds)
        self.replicas.give_back(self.replicas.take())

    def replica_states(self) -> list[ReplicaState]:
        """How the replicas are, those that cannot be reached too, by their endpoints."""
        return self.replicas.states()

    def readings(self) -> Iterator[Reading]:
        """How it is, for the metrics."""
        service = {"service": self.name}
        states = Counter(replica.state for replica in self.replica_states())
        for state in get_args(State):
            yield Reading("brubeck_replicas", states[state], service | {"state": state})
        yield Reading("brubeck_calls_pending", len(self.pending), service)
        yield Reading("brubeck_calls_in_background", len(self.background), service)
        yield Reading("brubeck_caller_outbox_bytes", self.replicas.waiting_bytes, service)
        yield Reading("brubeck_answers_dropped_total", self.dropped, service)
        yield Reading("brubeck_answers_malformed_total", self.replicas.malformed, service)

    def close(self) -> None:
        """End all sessions; calls in hand are lost."""
        self.replicas.close()
        gevent.get_hub().loop.run_callback(self.pending.close)

    def _one_with_room(self, least_busy: Session, tried: list[Session]) -> Session:
        """Take another replica than the least busy one, which is full: a larger one may not be.

        Raises:
            ServiceRefused: if none has.
        """
        self.replicas.give_back(least_busy)
        others = self.replicas.others(tried)
        full = [session for session in others if not _has_room(session)]
        if len(full) == len(others):
            raise ServiceRefused(f"every replica of {self.addr} has all the calls it takes")
        return self.replicas.take(avoid=[*tried, *full])

    def _can_go_elsewhere(self, tried: list[Session]) -> bool:
        return any(map(_has_room, self.replicas.others(tried))) and not self.pending.full

    def _call_at(
        self,
        session: Session,
        request: ServiceRequest,
        end: float,
        on_progress: OnProgress | None,
        on_sent: OnSent | None,
    ) -> Outcome:
        if not logger.isEnabledFor(logging.DEBUG):
            return self._send_and_wait(session, request, end, on_progress, on_sent)
        extra = {"request_id": request.request_id}
        started = time.monotonic()
        logger.debug("calling %s %s on %s", request.method, request.path, session, extra=extra)
        outcome = self._send_and_wait(session, request, end, on_progress, on_sent)
        if isinstance(outcome, ServiceResponse):
            logger.debug(
                "answered %s %s %d in %.0f ms",
                request.method,
                request.path,
                outcome.status_code,
                (time.monotonic() - started) * 1000,
                extra=extra,
            )
        return outcome

    def _send_and_wait(
        self,
        session: Session,
        request: ServiceRequest,
        end: float,
        on_progress: OnProgress | None,
        on_sent: OnSent | None,
    ) -> Outcome:
        if (seconds := end - time.monotonic()) <= 0:
            return not_sent(request.path)
        call = self.pending.enter(session, request.path, seconds)
        try:
            budget = max(1, int(seconds * 1000))
            wanted, now = on_progress is not None, session.clock
            sent = replace(request, id=call.id, budget=budget, sent=now, wants_progress=wanted)
            if not session.send(protocol.encode(sent)):
                return ServiceRefused(f"{session.endpoint} does not read its calls")
            return self._outcome(call, on_progress, on_sent)
        finally:
            self.pending.leave(call)

    def _outcome(
        self, call: PendingCall, on_progress: OnProgress | None, on_sent: OnSent | None
    ) -> Outcome:
        try:
            if on_sent is not None:
                on_sent(call.session.instance)
            while isinstance(said := call.waiter.get(), Progress):
                call.waiter.clear()
                if on_progress is not None:
                    on_progress(said.fraction, said.note)
        except BaseException:  # whoever waited was ended, or cannot stand what it was told
            _cancel(call)
            raise
        if isinstance(said, ServiceError) and said.may_have_run:
            _cancel(call)  # it is too late, as a rule
        return said

    # What replicas tell, in the event loop

    def _on_answer(self, session: Session, message: Answer) -> None:
        call = self.pending.find(session, message.id)
        if call is None:
            self.dropped += 1
        elif isinstance(message, Progress):
            call.waiter.switch(message)
        elif isinstance(message, Refused):
            reason = f"{session.endpoint} is {message.reason}, try again later"
            self.pending.finish(call, ServiceRefused(reason))
        elif message.path != call.path:
            reason = f"{session.endpoint} answered about another path"
            self.pending.finish(call, ServiceProtocolError(reason))
        else:
            self.pending.finish(call, message)

    def _on_loss(self, session: Session, error: ServiceError) -> None:
        for call in self.pending.at(session):
            self.pending.finish(call, ServiceLost(str(error)))


def _has_room(session: Session) -> bool:
    return session.outstanding < session.limit


def _cancel(call: PendingCall) -> None:
    """Say that nobody waits any more."""
    call.session.send(protocol.encode(Cancel(call.id)))

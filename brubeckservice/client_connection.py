"""The caller's connection to a service: all its replicas, the least busy first.

Resolves the address every second, keeps one session per replica, and gives each call to one
of them. A call that cannot be given to any fails at once; only before the first attempt to
connect has ended does it wait.
"""

import logging
import time
from collections.abc import Collection, Sequence

import gevent
import msgspec
import zmq
from gevent.event import Event
from gevent.pool import Pool

from brubeckservice import protocol
from brubeckservice.addresses import Address, parse_address, resolve
from brubeckservice.balance import LeastBusy
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceUnavailable,
)
from brubeckservice.keys import derive_keys
from brubeckservice.pending import Pending
from brubeckservice.protocol import Refused, ServiceRequest, ServiceResponse
from brubeckservice.session import Session

logger = logging.getLogger(__name__)

RESOLVE_INTERVAL = 1.0
FIRST_ATTEMPT_TIMEOUT = 5.0
"""Seconds a call may wait for the first attempt to reach the service."""
RETRY_AFTER = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds to wait before opening a session again, after that many failures in a row."""
MAX_PENDING = 50_000
"""Calls that may wait for their outcome."""
MAX_BACKGROUND = 50_000
"""Calls whose callers do not wait that may be under way."""
MAX_ATTEMPTS = 3
"""Times a call that came to no harm is tried."""


class _Replica:
    """An endpoint of the service, and the session there if there is one."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.session: Session | None = None
        self.failures = 0
        """Attempts that failed since the last welcome."""
        self.wanted = True
        """Whether the address still stands for this endpoint."""


class ServiceClientConnection:
    """All replicas of the service at `addr`: an address, or a sequence of them.

    Raises:
        ValueError: if an address is none.
    """

    def __init__(self, addr: str | Sequence[str], passphrase: str) -> None:
        self.addr = addr
        self.dropped = 0
        """Answers nobody waited for any more."""
        self.background = Pool(MAX_BACKGROUND)
        """The greenlets of calls whose callers do not wait."""
        addresses = [addr] if isinstance(addr, str) else addr
        self._endpoints: dict[Address, set[str]] = {parse_address(a): set() for a in addresses}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._replicas: dict[str, _Replica] = {}
        self._balance: LeastBusy[Session] = LeastBusy()
        self._pending = Pending(MAX_PENDING)
        self._first_attempt_over = Event()
        self._failure: ServiceError = ServiceUnavailable("not connected yet")
        self._closed = False
        self._resolving = gevent.spawn(self._resolve_forever, passphrase)

    def __repr__(self) -> str:
        ready = sum(session.ready for session in self._sessions())
        return f"<ServiceClientConnection {self.addr} replicas={ready} calls={len(self._pending)}>"

    def call(
        self, request: ServiceRequest, timeout: float, idempotent: bool = False
    ) -> ServiceResponse:
        """Send a request and wait, this greenlet only, at most `timeout` seconds.

        A call that a stopping replica refused goes to another one; so does, if it is
        `idempotent`, one that was lost.

        Raises:
            ServiceError: one of its kinds, if there is no response.
            TypeError: if the payload has no JSON form.
            ValueError: if the request is too long.
        """
        deadline = time.monotonic() + timeout
        self._first_attempt_over.wait(min(timeout, FIRST_ATTEMPT_TIMEOUT))
        tried: list[Session] = []
        while True:
            session = self._choose(avoid=tried)
            try:
                return self._call_at(session, request, deadline - time.monotonic())
            except (ServiceRefused, ServiceLost) as error:
                tried.append(session)
                unharmed = idempotent or not error.may_have_run
                if len(tried) == MAX_ATTEMPTS or not unharmed or not self._candidates(tried):
                    raise

    def check(self) -> None:
        """Return if a replica would take a call now.

        Raises:
            ServiceError: what a call would meet.
        """
        self._first_attempt_over.wait(FIRST_ATTEMPT_TIMEOUT)
        if not self._balance:
            self._second_choice(avoid=())

    def close(self) -> None:
        """End all sessions; calls in hand are lost."""
        self._closed = True
        self._resolving.kill(block=False)
        gevent.get_hub().loop.run_callback(self._close_sessions)

    # A call

    def _choose(self, avoid: Collection[Session]) -> Session:
        session = self._balance.take(avoid) or self._second_choice(avoid)
        session.outstanding += 1
        return session

    def _second_choice(self, avoid: Collection[Session]) -> Session:
        """A busy replica, where no other one is."""
        if candidates := self._candidates(avoid):
            return min(candidates, key=lambda session: session.outstanding)
        if any(session.ready for session in self._sessions()):
            raise ServiceRefused(f"every replica of {self.addr} is stopping")
        operators = (ServiceAuthError, ServiceProtocolError)  # waiting will not mend these
        kind = type(self._failure) if isinstance(self._failure, operators) else ServiceUnavailable
        raise kind(f"no replica of {self.addr}: {self._failure}")

    def _candidates(self, avoid: Collection[Session]) -> list[Session]:
        """The replicas that would take a call, busy ones too."""
        return [s for s in self._sessions() if s.ready and not s.draining and s not in avoid]

    def _call_at(
        self, session: Session, request: ServiceRequest, seconds: float
    ) -> ServiceResponse:
        extra = {"request_id": request.request_id}
        started = time.monotonic()
        logger.info("calling %s %s on %s", request.method, request.path, session, extra=extra)
        try:
            response = self._send_and_wait(session, request, seconds)
        finally:
            session.outstanding -= 1
            self._balance.give_back(session)
        logger.info(
            "answered %s %s %d in %.0f ms",
            request.method,
            request.path,
            response.status_code,
            (time.monotonic() - started) * 1000,
            extra=extra,
        )
        return response

    def _send_and_wait(
        self, session: Session, request: ServiceRequest, seconds: float
    ) -> ServiceResponse:
        if session.outstanding > session.limit:
            raise ServiceRefused(f"every replica of {self.addr} has all the calls it takes")
        call = self._pending.enter(session, request.path, seconds)
        try:
            budget = max(1, int(seconds * 1000))
            message = msgspec.structs.replace(request, id=call.id, budget=budget)
            if not session.send(protocol.encode(message)):
                raise ServiceRefused(f"{session.endpoint} does not read its calls")
            return call.waiter.get()
        finally:
            self._pending.leave(call)

    # What sessions tell, in the event loop

    def session_changed(self, session: Session) -> None:
        """Let a session be chosen, or no more."""
        replica = self._replicas[session.endpoint]
        if session.ready and replica.failures:
            replica.failures = 0
        self._first_attempt_over.set()
        if replica.wanted and session.ready and not session.busy and not session.draining:
            self._balance.add(session, session.outstanding)
        else:
            self._balance.discard(session)

    def session_answered(self, session: Session, message: ServiceResponse | Refused) -> None:
        """Give a call its outcome."""
        call = self._pending.find(session, message.id)
        if call is None:
            self.dropped += 1
        elif isinstance(message, Refused):
            self._pending.finish(
                call, ServiceRefused(f"{session.endpoint} is {message.reason}, try again later")
            )
        elif message.path != call.path:
            self._pending.finish(
                call, ServiceProtocolError(f"{session.endpoint} answered about another path")
            )
        else:
            self._pending.finish(call, message)

    def session_over(self, session: Session, error: ServiceError) -> None:
        """Fail the calls in hand there, and open another session after a while."""
        self._balance.discard(session)
        for call in self._pending.at(session):
            self._pending.finish(call, type(error)(str(error)))
        replica = self._replicas[session.endpoint]
        replica.session = None
        if replica.failures == 0 or type(error) is not type(self._failure):
            logger.warning("%s", error)  # once, not at every attempt that follows
        self._failure = error
        pause = RETRY_AFTER[min(replica.failures, len(RETRY_AFTER) - 1)]
        replica.failures += 1
        if all(other.failures for other in self._replicas.values()):
            self._first_attempt_over.set()
        gevent.spawn_later(pause, self._open_session, replica)

    # Replicas come and go

    def _resolve_forever(self, passphrase: str) -> None:
        # In a thread: scrypt would hold up every other greenlet.
        self._keys = gevent.get_hub().threadpool.apply(derive_keys, (passphrase,))
        while True:
            self._resolve()
            gevent.sleep(RESOLVE_INTERVAL)

    def _resolve(self) -> None:
        """Look up all addresses; one that cannot be resolved keeps what it stood for."""
        for address in self._endpoints:
            try:
                self._endpoints[address] = resolve(address)
            except OSError as error:
                if not self._replicas:
                    self._failure = ServiceUnavailable(f"{address.host}: {error.strerror}")
        wanted = set().union(*self._endpoints.values())
        for endpoint in wanted - self._replicas.keys():
            replica = self._replicas[endpoint] = _Replica(endpoint)
            self._open_session(replica)
        for replica in list(self._replicas.values()):
            self._keep_or_retire(replica, replica.endpoint in wanted)
        if not self._replicas:
            self._first_attempt_over.set()

    def _keep_or_retire(self, replica: _Replica, wanted: bool) -> None:
        """An endpoint that is not wanted any more gets no calls, and goes when it has none."""
        session = replica.session
        if wanted != replica.wanted:
            replica.wanted = wanted
            if session is not None:
                self.session_changed(session)
        if not wanted and (session is None or session.outstanding == 0):
            del self._replicas[replica.endpoint]
            if session is not None:
                session.close()

    def _open_session(self, replica: _Replica) -> None:
        if not self._closed and self._replicas.get(replica.endpoint) is replica:
            replica.session = Session(self._context, replica.endpoint, self._keys, self)

    def _sessions(self) -> list[Session]:
        return [r.session for r in self._replicas.values() if r.session is not None]

    def _close_sessions(self) -> None:
        sessions = self._sessions()
        self._replicas.clear()
        for session in sessions:
            self._balance.discard(session)
            session.close()
        for session in sessions:
            for call in self._pending.at(session):
                self._pending.finish(call, ServiceLost("the connection was closed"))
        self._pending.close()
        self._first_attempt_over.set()

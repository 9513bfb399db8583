"""The replicas of a service: where they are, one session with each, the least busy first.

Addresses are resolved every second. An endpoint that appears gets a session, one that is lost
is tried again, and one whose address is gone gets no more calls where there is another, and goes
when it has none.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Literal, NamedTuple

import gevent
import zmq
from gevent.event import Event

from brubeck.logs import Occasionally
from brubeckservice.addresses import Address, parse_address, resolve
from brubeckservice.balance import LeastBusy
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceProtocolError,
    ServiceRefused,
    ServiceUnavailable,
)
from brubeckservice.keys import Keys, derive_keys
from brubeckservice.session import Answer, Session

logger = logging.getLogger(__name__)

RESOLVE_INTERVAL = 1.0
"""Seconds between two looks at what the addresses stand for."""
FIRST_ATTEMPT_TIMEOUT = 5.0
"""Seconds a call may wait for the first attempt to reach the service."""
RETRY_AFTER = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds to wait before opening a session again, after that many failures in a row."""


State = Literal["connecting", "ready", "busy", "draining", "absent"]


class ReplicaState(NamedTuple):
    """How a replica is, as this caller knows it."""

    endpoint: str
    state: State
    instance: str = ""
    software: str = ""
    outstanding: int = 0
    """Calls of this caller in hand there."""
    load: int = 0
    """Calls of all callers in hand there."""
    limit: int = 0
    round_trip: float | None = None
    """Seconds."""
    error: str = ""
    """Why it is absent."""


class _Replica:
    """An endpoint of the service, and the session there if there is one."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.session: Session | None = None
        self.failures = 0
        """Attempts that failed since the last welcome."""
        self.key_index = 0
        """Which passphrase it is tried with."""
        self.passphrases_refused = 0
        """How many, since the last welcome or failure."""
        self.logged: type[ServiceError] | None = None
        """The kind of failure that the log has told of since the last welcome."""
        self.error: ServiceError | None = None
        """Why there is no session that is ready."""
        self.wanted = True
        """Whether the address still stands for this endpoint."""

    @property
    def state(self) -> "ReplicaState":
        """How it is."""
        session = self.session
        if session is None or not session.ready:
            state: State = "connecting" if self.error is None else "absent"
            return ReplicaState(self.endpoint, state, error=str(self.error or ""))
        state = "draining" if session.draining else "busy" if session.busy else "ready"
        return ReplicaState(
            self.endpoint,
            state,
            session.instance,
            session.software,
            session.outstanding,
            session.load,
            session.limit,
            session.round_trip,
        )

    @property
    def tried(self) -> bool:
        """Whether the attempt to reach it has ended, well or badly."""
        return self.failures > 0 or (self.session is not None and self.session.ready)


class Replicas:
    """The replicas at some addresses; its length is the number that are neither busy nor draining.

    Args:
        addresses: `tcp://host:port` or `ipc://path`; a host name stands for all its addresses.
        passphrases: each replica has one of these.
        on_answer: told, in the event loop, of every answer and the session it came from.
        on_loss: told, in the event loop, of every session that ended, and why.

    Raises:
        ValueError: if one of them is not an address.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        passphrases: Sequence[str],
        on_answer: Callable[[Session, Answer], None],
        on_loss: Callable[[Session, ServiceError], None],
    ) -> None:
        self.addresses = addresses
        self.session_answered = on_answer  # as SessionOwner has it: handed on as it is
        self._on_loss = on_loss
        self._endpoints: dict[Address, set[str]] = {parse_address(a): set() for a in addresses}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._replicas: dict[str, _Replica] = {}
        self._balance: LeastBusy[Session] = LeastBusy()
        self._first_attempt_over = Event()
        self.malformed = 0
        """Messages that made no sense."""
        self._complain = Occasionally(logger, logging.WARNING)
        self._failure: ServiceError = ServiceUnavailable("not connected yet")
        self._closed = False
        self._passphrases = passphrases  # no argument of a greenlet's: gevent shows those
        self._keys: list[Keys] = []
        self._resolving = gevent.spawn(self._resolve_forever)

    def __len__(self) -> int:
        return len(self._balance)

    def wait_for_first_attempt(self, seconds: float) -> None:
        """Wait until it has been tried to reach every replica once, or `seconds` are over."""
        self._first_attempt_over.wait(min(seconds, FIRST_ATTEMPT_TIMEOUT))

    def take(self, avoid: Collection[Session] = ()) -> Session:
        """The least busy replica, one call busier now; `give_back` follows.

        Raises:
            ServiceError: if there is none to give a call to.
        """
        session = self._balance.take(avoid) or self._second_choice(avoid)
        session.outstanding += 1
        return session

    def give_back(self, session: Session) -> None:
        """A call there has ended."""
        session.outstanding -= 1
        self._balance.give_back(session)

    def states(self) -> list[ReplicaState]:
        """How all replicas are, those that cannot be reached too, by their endpoints."""
        return sorted(replica.state for replica in self._replicas.values())

    @property
    def waiting_bytes(self) -> int:
        """What replicas have not been able to take yet."""
        return sum(session.waiting_bytes for session in self._sessions())

    def others(self, avoid: Collection[Session]) -> list[Session]:
        """The replicas that would take a call, busy ones too."""
        return [s for s in self._sessions() if s.ready and not s.draining and s not in avoid]

    def close(self) -> None:
        """End all sessions."""
        self._closed = True
        self._resolving.kill(block=False)
        gevent.get_hub().loop.run_callback(self._end_sessions)

    def _second_choice(self, avoid: Collection[Session]) -> Session:
        """A busy replica, where no other one is."""
        if others := self.others(avoid):
            return min(others, key=lambda session: session.outstanding)
        name = ", ".join(self.addresses)
        if any(session.ready for session in self._sessions()):
            raise ServiceRefused(f"every replica of {name} is stopping")
        telling = (ServiceAuthError, ServiceProtocolError, ServiceRefused)
        kind = type(self._failure) if isinstance(self._failure, telling) else ServiceUnavailable
        error = kind(f"no replica of {name}: {self._failure}")
        error.may_have_run = False  # whatever kind it is: the call was not sent
        try:
            raise error
        finally:
            del error  # its traceback keeps this frame, and it whoever called

    def _sessions(self) -> list[Session]:
        return [r.session for r in self._replicas.values() if r.session is not None]

    # What sessions tell, in the event loop

    def session_changed(self, session: Session) -> None:
        """Let a session be chosen, or no more."""
        replica = self._replicas[session.endpoint]
        if session.ready:
            replica.failures = replica.passphrases_refused = 0
            replica.logged = None
            self._note_first_attempts()
        if replica.wanted and session.ready and not session.busy and not session.draining:
            self._balance.add(session, session.outstanding)
        else:
            self._balance.discard(session)

    def session_misspoke(self, session: Session, fault: str) -> None:
        """Count and tell what makes no sense."""
        self.malformed += 1
        self._complain("%s sent what makes no sense: %s", session.endpoint, fault)

    def session_over(self, session: Session, error: ServiceError) -> None:
        """Choose a session no more, and open another after a while."""
        self._balance.discard(session)
        self._on_loss(session, error)
        replica = self._replicas[session.endpoint]
        replica.session = None
        if isinstance(error, ServiceAuthError):
            replica.error = error
            replica.key_index = (replica.key_index + 1) % len(self._keys)
            replica.passphrases_refused += 1
            if replica.passphrases_refused < len(self._keys):  # another one may do
                gevent.spawn(self._open_session, replica)
                return
        self._try_later(replica, error)

    def _try_later(self, replica: _Replica, error: ServiceError) -> None:
        """Open a session again, after a pause that grows with each failure."""
        replica.error = error
        replica.passphrases_refused = 0
        self._failure = error
        pause = RETRY_AFTER[min(replica.failures, len(RETRY_AFTER) - 1)]
        replica.failures += 1
        self._note_first_attempts()
        gevent.spawn_later(pause, self._open_session, replica)
        if type(error) is not replica.logged:  # once, not at every attempt that follows
            replica.logged = type(error)
            logger.warning("%s", error)

    def _note_first_attempts(self) -> None:
        if all(replica.tried for replica in self._replicas.values()):
            self._first_attempt_over.set()

    # Replicas come and go

    def _resolve_forever(self) -> None:
        while True:
            try:
                self._resolve()
            except Exception:  # without the next look, nothing would ever be found again
                logger.exception("the addresses of a service cannot be looked up")
            gevent.sleep(RESOLVE_INTERVAL)

    def _resolve(self) -> None:
        """Look up all addresses; one that cannot be resolved keeps what it stood for."""
        if not self._keys:  # in a thread: scrypt would hold up every other greenlet
            self._keys = gevent.get_hub().threadpool.apply(self._derive_keys)
        for address in self._endpoints:
            try:
                self._endpoints[address] = resolve(address)
            except OSError as error:
                if not self._replicas:
                    self._failure = ServiceUnavailable(f"{address.host}: {error.strerror}")
        wanted = set().union(*self._endpoints.values())
        for endpoint in wanted - self._replicas.keys():
            self._replicas[endpoint] = _Replica(endpoint)
            self._open_session(self._replicas[endpoint])
        for replica in list(self._replicas.values()):
            self._keep_or_retire(replica, replica.endpoint in wanted)
        self._note_first_attempts()  # one that was waited for may have left

    def _derive_keys(self) -> list[Keys]:
        return [derive_keys(passphrase) for passphrase in self._passphrases]

    def _keep_or_retire(self, replica: _Replica, wanted: bool) -> None:
        """An endpoint that is not wanted goes when it has no calls and others can take them."""
        session = replica.session
        if wanted != replica.wanted:
            replica.wanted = wanted
            if session is not None:
                self.session_changed(session)
        unused = session is None or not session.ready or session.outstanding == 0 < len(self)
        if not wanted and unused:
            del self._replicas[replica.endpoint]
            if session is not None:
                session.close()

    def _open_session(self, replica: _Replica) -> None:
        if not self._closed and self._replicas.get(replica.endpoint) is replica:
            keys = self._keys[replica.key_index]
            try:
                replica.session = Session(self._context, replica.endpoint, keys, self)
            except zmq.ZMQError as error:  # no descriptor is free, or no such path can be
                reason = f"{replica.endpoint} cannot be reached: {error.strerror}"
                self._try_later(replica, ServiceUnavailable(reason))

    def _end_sessions(self) -> None:
        sessions = self._sessions()
        self._replicas.clear()
        for session in sessions:
            self._balance.discard(session)
            session.close()
        for session in sessions:
            self._on_loss(session, ServiceUnavailable("the connection was closed"))
        self._first_attempt_over.set()

"""A service's end: where other instances' requests come from.

One ROUTER listens; each caller's connection is a session that begins with HELLO. Requests
run in a greenlet each, at most `max_in_flight` of them; one more, or one that comes while the
service is stopping, is refused, which tells the caller that it was not executed. Replies wait
in a queue for each caller, so that a slow one delays nobody.
"""

import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import gevent
import zmq
from msgspec.structs import replace

from brubeck import __version__
from brubeck.connection import Connection
from brubeck.environment import SettingError, is_weak
from brubeck.health import HEALTHY
from brubeck.logs import Occasionally
from brubeck.message_job import MessageJob
from brubeck.metrics import UNMATCHED, Reading
from brubeck.sockets import LoopSocket, terminate
from brubeckservice import protocol
from brubeckservice.addresses import parse_address
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.keys import CURVE_BYTES, derive_keys
from brubeckservice.outbox import MAX_FRAMES_AHEAD, Outbox
from brubeckservice.progress import Reporter, reporter
from brubeckservice.protocol import (
    Cancel,
    FromService,
    Goodbye,
    Hello,
    Ping,
    Pong,
    Progress,
    Refused,
    ServiceRequest,
    ServiceResponse,
    Welcome,
)
from brubeckservice.queueing_delay import QueueingDelay
from brubeckservice.zap import DOMAIN, ZapHandler

logger = logging.getLogger(__name__)

SOFTWARE = f"brubeck-services {__version__}"
MAX_IN_FLIGHT = 5000
"""Calls that are executed at a time, unless it is said otherwise."""
MAX_SESSIONS = 1000
"""Callers that are connected at a time."""
NOTICE = 0.2
"""Seconds from telling the callers that the service is stopping to its end, at least."""
GRACE = 0.2
"""Seconds a handler has beyond the time of its call: the caller must be the first to give up."""
FORGET_AFTER = 30.0
"""Seconds without a ping after which a caller's session is forgotten, whatever else it sends;
callers ping every second."""
DOUBT_AFTER = 2.0
"""Seconds without a ping after which a caller with calls in hand is sent a PONG: that fails if
its connection has gone, and ROUTER does not tell of it otherwise."""
DOUBT_WHEN_FULL = 1.0
"""The same for all callers while there are `MAX_SESSIONS`, to find room: some open one for each
call. Not at other times: a caller takes the PONG for a sign that what it says is read, and this
process may have been frozen."""
LAST_WORDS = 1.0
"""Seconds in which the callers may read what a service that ends has still to say."""


class _Caller:
    """One caller's connection: its queue of replies, and when it last pinged."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.pinged = time.monotonic()
        self.delay = QueueingDelay(self.pinged)
        self.last_id = 0
        self.jobs: dict[int, MessageJob] = {}
        """The calls being executed, by their ids."""


class ServiceConnection(Connection):
    """Listens at `addr` (`tcp://host:port` or `ipc://path`) for callers with the passphrase.

    Args:
        max_in_flight: requests being executed at a time; more are refused.

    Raises:
        ValueError: if it is not an address, or `max_in_flight` is less than one.
    """

    def __init__(self, addr: str, passphrase: str, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight is {max_in_flight}: a service takes at least one call")
        super().__init__(max_in_flight)
        self.addr = addr
        self.instance = f"{socket.gethostname()}-{secrets.token_hex(3)}"
        """Who answers: the host's name, and something new at every start."""
        reasons = ("malformed", "no session", "repeated", "unread", "caller gone")
        self.dropped.update(dict.fromkeys(reasons, 0))
        self.refused.update(dict.fromkeys(("stopping", "overloaded", "late"), 0))
        self._endpoint = parse_address(addr).endpoint
        self._passphrase = passphrase
        self._callers: dict[bytes, _Caller] = {}
        self._complain = Occasionally(logger, logging.WARNING)

    def __repr__(self) -> str:
        return f"<ServiceConnection {self.addr} {self.instance}>"

    def health(self) -> str:
        """`ok` unless the service is stopping."""
        return "stopping" if self.stopping else HEALTHY

    def readings(self) -> Iterator[Reading]:
        """How it is, for the metrics."""
        yield from super().readings()
        outboxes = [caller.outbox for caller in self._callers.values()]
        yield Reading("brubeck_sessions", len(outboxes))
        yield Reading("brubeck_outbox_messages", sum(len(outbox) for outbox in outboxes))
        yield Reading("brubeck_outbox_bytes", sum(outbox.bytes for outbox in outboxes))

    def close(self) -> None:
        """Send what is waiting to be sent, and close the sockets."""
        self._silence_timer.close()
        end = time.monotonic() + LAST_WORDS
        while any(caller.outbox for caller in self._callers.values()) and time.monotonic() < end:
            gevent.sleep(0.01)
        self._router.close(linger=1000)
        self._zap_handler.close()
        terminate(self._context)

    def _open(self) -> None:
        if is_weak(self._passphrase):
            logger.warning("the passphrase is short or published: good for a demonstration only")
        keys = derive_keys(self._passphrase)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._zap_handler = ZapHandler(self._context, keys.caller.public)
        router = self._context.socket(zmq.ROUTER)
        router.set(zmq.CURVE_SERVER, 1)
        router.set(zmq.CURVE_SECRETKEY, keys.service.secret)
        router.set(zmq.ZAP_DOMAIN, DOMAIN)
        router.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.set(zmq.ROUTER_MANDATORY, 1)
        router.set(zmq.SNDHWM, MAX_FRAMES_AHEAD)
        router.set(zmq.MAXMSGSIZE, protocol.MAX_FRAME_BYTES + CURVE_BYTES)
        router.set(zmq.HANDSHAKE_IVL, 3000)
        router.set(zmq.BACKLOG, 1024)
        self._zap_handler.watch(router)
        try:
            router.bind(self._endpoint)
        except zmq.ZMQError as error:
            router.close(linger=0)
            self._zap_handler.close()
            self._context.term()
            raise SettingError(f"cannot listen: {error}") from None
        self._router = LoopSocket(router, self._on_frames)
        self._silence_timer = gevent.get_hub().loop.timer(1.0, 1.0)
        self._silence_timer.start(self._look_after_silent_callers)
        logger.info("%s listens at %s", self.instance, self.addr)

    def _refuse_new_work(self) -> None:
        """Tell the callers; what they sent before they knew is refused, not lost."""
        for caller in list(self._callers.values()):  # one that has gone is forgotten meanwhile
            self._say(caller.outbox, Pong(0, len(self._in_hand), draining=True))
        gevent.sleep(NOTICE)

    # Messages come, in the event loop

    def _on_frames(self, frames: list[bytes]) -> None:
        identity = frames[0]
        messages, faults = (
            protocol.read_from_caller(frames[1]) if len(frames) == 2 else ([], ["not one frame"])
        )
        for fault in faults:
            self.dropped["malformed"] += 1
            self._complain("a caller sent what makes no sense: %s", fault)
        for message in messages:
            caller = self._callers.get(identity)
            if isinstance(message, Hello):
                self._greet(identity, message)
            elif caller is None:
                self.dropped["no session"] += 1
                self._turn_away(identity, "no session: say hello first")
                return  # one answer is enough for all else in the frame
            elif isinstance(message, ServiceRequest):
                self._start(caller, message)
            elif isinstance(message, Cancel):
                self._cancel(caller, message)
            elif isinstance(message, Ping):
                self._pong(caller, message)

    def _greet(self, identity: bytes, hello: Hello) -> None:
        self._forget(identity)  # a caller that chose its identity comes back: it begins anew
        if protocol.VERSION not in hello.versions:
            reason = f"no common version: this service speaks {protocol.VERSION}"
            self._turn_away(identity, reason)
        elif not self._has_room():
            self._turn_away(identity, "too many sessions", full=True)
        else:
            outbox = Outbox(partial(self._send_frame, identity))
            self._callers[identity] = _Caller(outbox)
            self._say(
                outbox, Welcome(protocol.VERSION, self.instance, self._in_hand.limit, SOFTWARE)
            )

    def _has_room(self) -> bool:
        if len(self._callers) >= MAX_SESSIONS:
            self._look_after_silent_callers()
        return len(self._callers) < MAX_SESSIONS

    def _turn_away(self, identity: bytes, reason: str, *, full: bool = False) -> None:
        """Say goodbye to who has no session, and so no outbox: it reads that now or never."""
        goodbye = protocol.encode(Goodbye(reason, full))
        if not self._send_frame(identity, protocol.join([goodbye])):
            self.dropped["unread"] += 1

    def _pong(self, caller: _Caller, ping: Ping) -> None:
        caller.pinged = time.monotonic()
        _waited(caller, ping, caller.pinged)
        self._say(caller.outbox, Pong(ping.number, len(self._in_hand), self.stopping))

    def _start(self, caller: _Caller, request: ServiceRequest) -> None:
        if request.id <= caller.last_id:  # a caller's ids grow: this one was here before
            self.dropped["repeated"] += 1
            return
        caller.last_id = request.id
        now = time.monotonic()
        if waited := int(_waited(caller, request, now) * 1000):
            request = replace(request, budget=request.budget - waited)
        if reason := self._reason_to_refuse(request):
            self.refused[reason] += 1
            self._say(caller.outbox, Refused(request.id, reason))
            return
        answer = partial(self._answer, caller, request, now)
        seconds = request.budget / 1000 + GRACE
        begin = self._reporting(caller, request) if request.wants_progress else None
        caller.jobs[request.id] = self._handle(
            request, seconds, ServiceMessageHandler, answer, begin=begin
        )

    def _reason_to_refuse(self, request: ServiceRequest) -> str:
        if self.stopping:
            return "stopping"
        if self._in_hand.full:
            return "overloaded"
        return "late" if request.budget <= 0 else ""

    def _cancel(self, caller: _Caller, message: Cancel) -> None:
        job = caller.jobs.pop(message.id, None)
        if job is not None:
            self._end(job)

    # Answers go, and word of progress

    def _reporting(self, caller: _Caller, request: ServiceRequest) -> Callable[[], object]:
        """What a greenlet does first so that the handler's reports reach the caller."""
        report = Reporter(request.id, partial(self._say_progress, caller))
        return partial(reporter.set, report)

    def _say_progress(self, caller: _Caller, progress: Progress) -> bool:
        """Say it if the caller reads what it is told; so answers always have room."""
        wanted = progress.id in caller.jobs
        if wanted and caller.outbox.stuck:
            return False
        if wanted:
            self._say(caller.outbox, progress)
        return True

    def _answer(
        self, caller: _Caller, request: ServiceRequest, started: float, response: ServiceResponse
    ) -> ServiceResponse:
        caller.jobs.pop(request.id, None)
        extra = {"request_id": request.request_id}
        response = protocol.answer_to(request, response)
        try:
            message = protocol.encode(response)
        except (TypeError, ValueError) as error:
            logger.error("%s: the response %s", request.path, error, extra=extra)
            response = request.error_reply(500 if isinstance(error, TypeError) else 413)
            message = protocol.encode(response)
        seconds = time.monotonic() - started
        said = request.method, request.path, response.status_code, seconds * 1000
        logger.info("called %s %s %d in %.0f ms", *said, extra=extra)
        if (metrics := self._application.metrics) is not None:
            pattern = self._application.pattern_of(request) or UNMATCHED
            labels = pattern, response.status_code
            metrics.executions.observe(labels, seconds, request.request_id)
        if not caller.outbox.append(message):
            self.dropped["unread"] += 1
            self._complain("a caller does not read its answers; one was dropped")
        return response

    def _say(self, outbox: Outbox, message: FromService) -> None:
        if not outbox.append(protocol.encode(message)):
            self.dropped["unread"] += 1

    def _send_frame(self, identity: bytes, frame: bytes) -> bool:
        try:
            return self._router.closed or self._router.send([identity, frame])
        except zmq.ZMQError:  # the caller has gone, and everything meant for it goes with it
            self._forget(identity)
            self.dropped["caller gone"] += 1
            return True

    # Callers go

    def _look_after_silent_callers(self) -> None:
        now = time.monotonic()
        full = len(self._callers) >= MAX_SESSIONS
        doubt_after = DOUBT_WHEN_FULL if full else DOUBT_AFTER
        for identity, caller in list(self._callers.items()):
            silent = now - caller.pinged
            if silent > FORGET_AFTER:
                self._forget(identity)
            elif silent > doubt_after and (full or caller.jobs):
                self._ask_whether_there(caller)

    def _ask_whether_there(self, caller: _Caller) -> None:
        if not caller.outbox.stuck:  # that one asks all the time
            self._say(caller.outbox, Pong(0, len(self._in_hand), self.stopping))
            caller.outbox.flush()

    def _forget(self, identity: bytes) -> None:
        """Nobody waits there: end what is done for it, and say no more."""
        caller = self._callers.pop(identity, None)
        if caller is not None:
            caller.outbox.clear()
            while caller.jobs:
                self._end(caller.jobs.popitem()[1])

    def _end(self, job: MessageJob) -> None:
        self._in_hand.end(job)
        self._note_abandoned(job.message)


def _waited(caller: _Caller, message: Ping | ServiceRequest, now: float) -> float:
    """Seconds a message was on its way beyond what the fastest took; 0 if it does not say."""
    return caller.delay.of(message.sent / 1000, now) if message.sent else 0.0

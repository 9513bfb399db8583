"""The live page: how the deployment is, and what becomes of each call its viewer makes.

Both come as streams of events. The one about calls is the answer to the request that makes them:
the process that has the calls is the one that tells of them, however many client apps there are.
"""

import logging
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
from gevent.pool import Group

from brubeck.event_stream import HEADERS, HEARTBEAT, encode_event
from brubeckservice.base import ServiceError, ServiceRequest, coro_sleep
from caller import Page, ServiceCaller, service_addr
from followed import HEARTBEAT_INTERVAL, Call, Followed, followed

logger = logging.getLogger("client_app")

PRIMES_PATH = "/service/primes"
KINDS = ("sync", "async", "cpu")
MAX_CALLS = 20
"""Calls that one request may make."""
COUNTS: dict[str | None, int] = {str(count): count for count in range(1, MAX_CALLS + 1)}
MAX_FOLLOWED = 1000
"""Calls that viewers may follow at a time, in this process."""
MAX_VIEWERS = 1000
"""Pages that may be open at a time, as far as this process serves them."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at the replicas."""

client_app = socket.gethostname()


class LivePage(Page):
    """The page itself; all that moves in it comes from the two streams."""

    def get(self) -> Any:
        return self.render_template("live.html", max_calls=MAX_CALLS)


class Deployment(ServiceCaller):
    """This process and the replicas that it knows, whenever that changes."""

    viewers = 0

    def get(self) -> Any:
        if Deployment.viewers >= MAX_VIEWERS:
            return self.render_error(503)
        self.set_body(self.changes(), HEADERS)
        return self.render()

    def changes(self) -> Iterator[bytes]:
        """Ends when this process is about to: the page then asks another one."""
        Deployment.viewers += 1
        try:
            told, told_at = b"", 0.0
            while not self.application.msg_conn.stopping:
                state, now = self.state(), time.monotonic()
                if state != told or now - told_at > HEARTBEAT_INTERVAL:
                    yield encode_event(state, "deployment") if state != told else HEARTBEAT
                    told, told_at = state, now
                coro_sleep(LOOK_INTERVAL)
        finally:
            Deployment.viewers -= 1

    def state(self) -> bytes:
        """What the page draws."""
        replicas = [
            {"endpoint": r.endpoint, "name": r.instance, "state": r.state, "load": r.load}
            for r in self.replica_states(service_addr)
        ]
        return msgspec.json.encode({"client_app": client_app, "replicas": replicas})


class Calls(ServiceCaller):
    """Makes calls, and answers with their life."""

    def post(self) -> Any:
        kind, count = self.get_argument("kind"), COUNTS.get(self.get_argument("count", "1"))
        if kind not in KINDS or count is None:
            return self.render_error(400)
        if len(followed) + count > MAX_FOLLOWED:
            return self.render_error(503)
        first = self.message.request_id
        calls = [Call(f"{first}.{number}", kind, client_app) for number in range(1, count + 1)]
        self.set_body(self.life_of(calls), HEADERS)
        return self.render()

    def life_of(self, calls: list[Call]) -> Iterator[bytes]:
        """Ends the calls that wait if it is ended itself: then the browser has left."""
        waiting = Group()
        try:
            with Followed(calls) as viewer:
                yield viewer.news()
                for call in calls:
                    if call.kind == "async":
                        self.carry_on(viewer, call)
                    else:
                        waiting.spawn(self.wait, viewer, call)
                yield from viewer.events()
        finally:
            waiting.kill(block=False)

    def carry_on(self, viewer: Followed, call: Call) -> None:
        """Make a call nobody waits for; the application's handler is told the response."""
        self.send_service_request_nowait(
            service_addr,
            self.request_of(call),
            on_sent=partial(viewer.sent, call),
            on_progress=partial(viewer.progressed, call),
        )

    def wait(self, viewer: Followed, call: Call) -> None:
        """Make a call, and wait for its response."""
        try:
            response, _ = self.send_service_request(
                service_addr,
                self.request_of(call),
                on_sent=partial(viewer.sent, call),
                on_progress=partial(viewer.progressed, call),
            )
        except ServiceError as error:
            viewer.ended(call, error.status_code, str(error))
        except Exception:
            logger.exception("the call failed", extra={"request_id": call.id})
            viewer.ended(call, 500, "the call failed")
        else:
            viewer.ended(call, response.status_code, response.status_msg)

    def request_of(self, call: Call) -> ServiceRequest:
        """The request for the service, under the id of the call."""
        if call.kind == "cpu":
            request = self.create_service_request(PRIMES_PATH)
        else:
            request = self.slow_echo(f"This is {call.id}.")
        return msgspec.structs.replace(request, request_id=call.id)

"""Brubeck Services: an echo service. `ours_service ADDRESS[,ADDRESS ...] SECONDS`."""

import sys
from typing import Any

import gevent

from brubeck import environment
from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceConnection, ServiceMessageHandler, coro_sleep
from tests.ports import free_port

PASSPHRASE = "a passphrase for the bench only"
HELD_SECONDS = 30.0
BURN_ROUNDS = 40_000


class Echo(ServiceMessageHandler):
    """Returns the text, a while later."""

    def request(self) -> Any:
        """Answer a call."""
        if seconds:
            coro_sleep(seconds)
        self.add_to_payload("text", self.message.get_argument("text"))
        self.set_status(200)
        return self.render()


class Held(Echo):
    """Keeps calls waiting while others are measured."""

    def request(self) -> Any:
        """Answer long after the measure."""
        coro_sleep(HELD_SECONDS)
        return super().request()


class Burn(Echo):
    """A fixed amount of work for the processor, some milliseconds of it, then the echo."""

    cpu_bound = True

    def request(self) -> Any:
        """Answer a call."""
        value = 1
        for _ in range(BURN_ROUNDS):
            value = value * 1_103_515_245 % 2_147_483_647
        return super().request()


def metrics_port() -> int:
    """Where metrics are to be had, if they are to be measured too."""
    return free_port() if environment.choice("METRICS", "off", ("on", "off")) == "on" else 0


def service(address: str) -> Brubeck:
    """The application at one address."""
    return Brubeck(
        msg_conn=ServiceConnection(address, PASSPHRASE, max_in_flight=50_000),
        handler_tuples=[(r"^/echo$", Echo), (r"^/held$", Held), (r"^/burn$", Burn)],
        log_level=environment.text("LOG_LEVEL"),
        log_format=environment.text("LOG_FORMAT"),
        metrics_port=metrics_port(),
    )


if __name__ == "__main__":
    seconds = float(sys.argv[2])
    first, *others = [service(address) for address in sys.argv[1].split(",")]
    for other in others:  # several replicas in one process, where their number is what counts
        gevent.spawn(other.msg_conn.recv_forever_ever, other)
    first.run()

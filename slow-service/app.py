"""The slow-echo service: brings back what it is given, after a while. It also counts primes."""

import socket
import time
from math import isqrt
from typing import Any

from brubeck import environment
from brubeck.request_handling import Brubeck
from brubeckservice.base import ServiceConnection, ServiceMessageHandler, coro_sleep

slow_seconds = environment.number("SLOW_SECONDS", 5.0)


class SlowEcho(ServiceMessageHandler):
    """Takes too long, says so meanwhile, and then returns RETURN_DATA and who had it."""

    def request(self) -> Any:
        end = time.monotonic() + slow_seconds
        while (left := end - time.monotonic()) > 0:
            self.progress(max(0.0, 1 - left / slow_seconds), f"{left:.1f} s left")
            coro_sleep(min(left, 0.5))
        self.set_status(200, "Took a while, but I am back.")
        self.add_to_payload("RETURN_DATA", self.message.get_argument("RETURN_DATA", "NO DATA"))
        self.add_to_payload("SERVED_BY", socket.gethostname())
        self.headers = {"METHOD": "response"}
        return self.render()


class CountPrimes(ServiceMessageHandler):
    """Computes, in a native thread: meanwhile this process goes on answering others."""

    cpu_bound = True

    LIMIT = 600_000
    STEP = 5_000

    def request(self) -> Any:
        count = 0
        for start in range(0, self.LIMIT, self.STEP):
            if not self.seconds_left:  # nobody waits any more, and nothing else would end a thread
                return self.render_error(504)
            self.progress(start / self.LIMIT, f"{count} primes below {start}")
            count += sum(map(is_prime, range(start, start + self.STEP)))
        self.set_status(200, f"There are {count} primes below {self.LIMIT}.")
        self.add_to_payload("COUNT", count)
        return self.render()


def is_prime(n: int) -> bool:
    """By trial division: slow, as is wanted here."""
    return n > 1 and all(n % divisor for divisor in range(2, isqrt(n) + 1))


app = Brubeck(
    msg_conn=ServiceConnection(
        environment.address("SERVICE_BIND_ADDR"),
        environment.secret("SERVICE_PASSPHRASE_FILE"),
        max_in_flight=environment.integer("SERVICE_MAX_IN_FLIGHT", 5000),
    ),
    handler_tuples=[(r"^/service/slow$", SlowEcho), (r"^/service/primes$", CountPrimes)],
    log_level=environment.choice("LOG_LEVEL", "INFO", environment.LOG_LEVELS),
    log_format=environment.choice("LOG_FORMAT", "text", environment.LOG_FORMATS),
    health_port=environment.port("HEALTH_PORT", 9001),
    watchdog_timeout=environment.number("WATCHDOG_TIMEOUT", 30.0),
    metrics_port=environment.port("METRICS_PORT", 0),
)

if __name__ == "__main__":
    app.run()

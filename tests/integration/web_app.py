"""An application of every kind of answer, for `test_http`."""

import os
import time
from typing import Any

from gevent import sleep

from brubeck.connections import Mongrel2Connection
from brubeck.request_handling import Brubeck, JSONMessageHandler, WebMessageHandler


class Echo(WebMessageHandler):
    """Says its argument, after a while if asked to."""

    def get(self) -> Any:
        sleep(float(self.get_argument("seconds") or 0))
        self.set_body(self.get_argument("say", "nothing") or "")
        return self.render()


class Hogs(WebMessageHandler):
    """Computes, and lets nobody else run."""

    def get(self) -> Any:
        end = time.monotonic() + float(self.get_argument("seconds") or 0)
        while time.monotonic() < end:
            sum(range(1000))
        self.set_body("computed")
        return self.render()


class Raises(WebMessageHandler):
    """Has a mistake."""

    def get(self) -> Any:
        raise KeyError("a mistake")


class Nothing(WebMessageHandler):
    """Forgets to return what it rendered."""

    def get(self) -> Any:
        self.render()


class Injects(WebMessageHandler):
    """Puts what a browser said into a header and into the status message."""

    def get(self) -> Any:
        value = self.get_argument("value") or ""
        self.set_body("injected", {"X-Value": value})
        if self.get_argument("where") == "status":
            self.headers.clear()
            self.set_status(200, value)
        return self.render()


class Json(JSONMessageHandler):
    """Answers with JSON, and knows its url's arguments."""

    def get(self, name: str, number: str = "none") -> Any:
        self.add_to_payload("data", {"name": name, "number": number})
        self.set_status(200)
        return self.render(hide_status=True)


app = Brubeck(
    msg_conn=Mongrel2Connection(os.environ["PULL_ADDR"], os.environ["PUB_ADDR"]),
    handler_tuples=[
        (r"^/echo$", Echo),
        (r"^/hogs$", Hogs),
        (r"^/raises$", Raises),
        (r"^/nothing$", Nothing),
        (r"^/injects$", Injects),
        (r"^/json/(?P<name>\w+)(?:/(?P<number>\d+))?$", Json),
    ],
    request_timeout=float(os.environ.get("REQUEST_TIMEOUT", "30")),
)

if __name__ == "__main__":
    app.run()

"""An application of every kind of answer, for tests of HTTP through Mongrel2."""

import os
import time
from typing import Any

from gevent import sleep

from brubeck.connections import Mongrel2Connection
from brubeck.request_handling import Brubeck, JSONMessageHandler, WebMessageHandler

COOKIE_SECRET = os.environ["COOKIE_SECRET"]


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
    """Puts what a browser said where the header of the answer is made of it."""

    def get(self) -> Any:
        value = self.get_argument("value") or ""
        self.set_body("injected")
        match self.get_argument("where"):
            case "header":
                self.headers["X-Value"] = value
            case "status":
                self.set_status(200, value)
            case "cookie":
                self.set_cookie("value", value)
            case "redirect":
                return self.redirect(value)
        return self.render()


class Length(WebMessageHandler):
    """Says how long a body is."""

    def post(self) -> Any:
        self.set_body(str(len(self.message.body)))
        return self.render()


class Long(WebMessageHandler):
    """A page of some megabytes."""

    def get(self, megabytes: str) -> Any:
        self.set_body(b"x" * int(megabytes) * 1024 * 1024)
        return self.render()


class Header(WebMessageHandler):
    """Says what a header of the request is."""

    def get(self, name: str) -> Any:
        self.set_body(self.message.headers.get(name, "none"))
        return self.render()


class Cookies(WebMessageHandler):
    """Says what a cookie is, as it came and as it was signed; gives a signed one."""

    def get(self, name: str) -> Any:
        signed = self.get_cookie(name, "none", secret=COOKIE_SECRET, max_age=60)
        self.set_body(f"{self.get_cookie(name, 'none')} {signed}")
        return self.render()

    def put(self, name: str) -> Any:
        self.set_cookie(name, "tea", secret=COOKIE_SECRET)
        self.set_body("set")
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
        (r"^/length$", Length),
        (r"^/long/(\d+)$", Long),
        (r"^/header/([\w-]+)$", Header),
        (r"^/cookies/(\w+)$", Cookies),
        (r"^/json/(?P<name>\w+)(?:/(?P<number>\d+))?$", Json),
    ],
    request_timeout=float(os.environ.get("REQUEST_TIMEOUT", "30")),
    health_port=int(os.environ.get("HEALTH_PORT", "0")),
)

if __name__ == "__main__":
    app.run()

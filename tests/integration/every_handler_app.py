"""An application with a handler of every kind, for `test_web_servers`.

Behind Mongrel2 where PULL_ADDR and PUB_ADDR say so, and behind its own server at WSGI_PORT.
"""

import hashlib
import os
from typing import Any

from gevent import sleep
from jinja2 import DictLoader

from brubeck.connections import Mongrel2Connection, WSGIConnection
from brubeck.request_handling import (
    Brubeck,
    JSONMessageHandler,
    MessageHandler,
    WebMessageHandler,
    render,
)
from brubeck.templating import Jinja2Rendering, load_jinja2_env
from brubeckservice.base import ServiceClientMixin, ServiceConnection, ServiceMessageHandler

COOKIE_SECRET = "signs the cookies of this test"
PASSPHRASE = "correct horse battery staple, said nobody in earnest"
TEMPLATES = {
    "index.html": "<h1>Hello {{ name }}</h1>",
    "errors.html": "<h1>{{ error_code }}, sorry</h1>",
}


class Page(Jinja2Rendering, WebMessageHandler):
    """A page from a template; its errors have one too."""

    def get(self) -> Any:
        if self.get_argument("fail"):
            raise LookupError("a mistake")
        return self.render_template("index.html", name=self.get_argument("name", "nobody"))


class Hello(WebMessageHandler):
    """Positional arguments of the url; the second may be missing."""

    def get(self, name: str, times: str = "1") -> Any:
        self.set_body(f"Hello {name}" * int(times), {"Content-Type": "text/plain; charset=utf-8"})
        return self.render()


class Item(JSONMessageHandler):
    """Named arguments of the url, and JSON without the status."""

    def get(self, kind: str, number: str = "none") -> Any:
        self.add_to_payload("data", {"kind": kind, "number": number})
        return self.render(200, hide_status=True)


class Payload(MessageHandler):
    """JSON with the status."""

    def get(self) -> Any:
        self.add_to_payload("text", "grün")
        return self.render(201)


class Arguments(JSONMessageHandler):
    """What a query and a form say."""

    def get(self) -> Any:
        last = {name: self.get_argument(name) for name in self.message.arguments}
        every = {name: self.get_arguments(name, strip=False) for name in self.message.arguments}
        self.add_to_payload("data", {"last": last, "all": every})
        return self.render(200, hide_status=True)

    post = put = get


class Files(JSONMessageHandler):
    """The files of a form."""

    def post(self) -> Any:
        files = {
            name: [file | {"body": file["body"].decode("latin-1")} for file in files]
            for name, files in self.message.files.items()
        }
        self.add_to_payload("data", {"files": files, "title": self.get_argument("title")})
        return self.render(200, hide_status=True)


class Json(JSONMessageHandler):
    """Gives a JSON body back."""

    def post(self) -> Any:
        self.add_to_payload("data", self.message.json())
        return self.render(200, hide_status=True)


class Digest(WebMessageHandler):
    """What a body is, in short."""

    def post(self) -> Any:
        body = self.message.body
        self.set_body(f"{len(body)} {hashlib.sha256(body).hexdigest()}")
        return self.render()


class Long(WebMessageHandler):
    """So many megabytes."""

    def get(self, megabytes: str) -> Any:
        self.set_body(b"x" * int(megabytes) * 1024 * 1024)
        return self.render()


class Cookies(WebMessageHandler):
    """Sets, reads and deletes cookies."""

    def put(self) -> Any:
        self.set_cookie("plain", "tea", max_age=60, httponly=True)
        self.set_cookie("signed", {"cups": 2}, secret=self.application.cookie_secret)
        self.set_body("set")
        return self.render()

    def get(self) -> Any:
        signed = self.get_cookie("signed", "none", secret=self.application.cookie_secret)
        self.set_body(f"{self.get_cookie('plain', 'none')} {signed}")
        return self.render()

    def delete(self) -> Any:
        self.delete_cookies()
        self.set_body("deleted")
        return self.render()


class Away(WebMessageHandler):
    """Sends the browser elsewhere."""

    def get(self) -> Any:
        return self.redirect("/page?name=redirected")


class Message(JSONMessageHandler):
    """What a handler can ask of its message."""

    def get(self) -> Any:
        message = self.message
        asked = {
            "method": message.method,
            "path": message.path,
            "url": message.url,
            "query": message.url_parts.query,
            "version": message.version,
            "remote_addr": message.remote_addr,
            "content_type": message.content_type,
            "x_list": message.headers.get("x-list"),
            "host": message.headers.get("host"),
            "cookies": message.cookies,
            "should_close": message.should_close(),
            "is_disconnect": message.is_disconnect(),
        }
        self.add_to_payload("data", asked)
        return self.render(200, hide_status=True)


class Server(WebMessageHandler):
    """Which server it came through."""

    def get(self) -> Any:
        self.set_body(f"is_wsgi: {self.message.is_wsgi}")
        return self.render()


class Wait(WebMessageHandler):
    """Answers after a while."""

    def get(self, seconds: str) -> Any:
        sleep(float(seconds))
        self.set_body("it took a while")
        return self.render()


class Nothing(WebMessageHandler):
    """Forgets to return what it rendered."""

    def get(self) -> Any:
        self.render()


class Unsendable(WebMessageHandler):
    """Has an answer that no header can hold."""

    def get(self) -> Any:
        self.set_body("x", {"X-Text": self.get_argument("text")})  # type: ignore[dict-item]
        return self.render()


class Empty(WebMessageHandler):
    """An answer that has no body."""

    def delete(self) -> Any:
        self.set_status(204)
        return self.render()


class CallService(ServiceClientMixin, WebMessageHandler):
    """Asks the echo service."""

    def get(self) -> Any:
        self.register_service(os.environ["SERVICE_ADDR"], PASSPHRASE)
        request = self.create_service_request("/echo", "request", {"say": self.get_argument("say")})
        response, handled = self.send_service_request(os.environ["SERVICE_ADDR"], request)
        self.set_body(f"{response.status_code} {response.body['said']} {handled}")
        return self.render()


class EchoResponse(ServiceMessageHandler):
    """Told of every response of the service."""

    def response(self) -> Any:
        return f"handled {self.status_code}"


class Echo(ServiceMessageHandler):
    """The service's side."""

    def request(self) -> Any:
        self.add_to_payload("said", self.message.get_argument("say"))
        return self.render(200)


ROUTES = [
    (r"^/page$", Page),
    (r"^/hello/(\w+)(?:/(\d+))?$", Hello),
    (r"^/item/(?P<kind>[^/]+)(?:/(?P<number>\d+))?$", Item),
    (r"^/payload$", Payload),
    (r"^/arguments$", Arguments),
    (r"^/files$", Files),
    (r"^/json$", Json),
    (r"^/digest$", Digest),
    (r"^/long/(\d+)$", Long),
    (r"^/cookies$", Cookies),
    (r"^/away$", Away),
    (r"^/message", Message),
    (r"^/server$", Server),
    (r"^/wait/([0-9.]+)$", Wait),
    (r"^/nothing$", Nothing),
    (r"^/unsendable$", Unsendable),
    (r"^/empty$", Empty),
    (r"^/call$", CallService),
    (r"^/echo$", EchoResponse),
]


def msg_conn() -> Mongrel2Connection | WSGIConnection | ServiceConnection:
    """What the environment says."""
    if port := os.environ.get("WSGI_PORT"):
        return WSGIConnection(int(port), "127.0.0.1")
    if "PULL_ADDR" in os.environ:
        return Mongrel2Connection(os.environ["PULL_ADDR"], os.environ["PUB_ADDR"])
    return ServiceConnection(os.environ["SERVICE_ADDR"], PASSPHRASE)


msg = msg_conn()
app = Brubeck(
    msg_conn=msg,
    handler_tuples=[(r"^/echo$", Echo)] if isinstance(msg, ServiceConnection) else ROUTES,
    base_handler=Page,
    template_loader=load_jinja2_env("in memory", loader=DictLoader(TEMPLATES)),
    cookie_secret=COOKIE_SECRET,
    request_timeout=float(os.environ.get("REQUEST_TIMEOUT", "30")),
)


@app.add_route(r"^/function/(\w+)$", method="GET")
def function(application: Brubeck, message: Any, name: str) -> Any:
    """Positional arguments of the url, and one of the query."""
    greeting = message.get_argument("greeting", "Hello")
    return render(f"{greeting} {name}", 200, "OK", {"Content-Type": "text/plain"})


@app.add_route(r"^/sum/(?P<a>\d+)(?:/(?P<b>\d+))?$", method=["GET", "POST"])
def add(application: Brubeck, message: Any, a: str, b: str = "1") -> Any:
    """Named arguments of the url."""
    return render(str(int(a) + int(b)), 200, "Added", {"X-Method": message.method})


@app.add_route(r"^/mistake$")
def mistake(application: Brubeck, message: Any) -> Any:
    """A function that fails."""
    raise LookupError("a mistake")


if __name__ == "__main__":
    app.run()

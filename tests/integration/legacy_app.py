#!/usr/bin/env python
"""A guest book as people wrote it for Brubeck in 2013, after the usual changes for Python 3."""
# mypy: ignore-errors
# ruff: noqa: ARG002, LOG015, UP004, UP031  # nobody wrote otherwise then

import functools
import json
import logging
import os

from gevent.pool import Pool

from brubeck.connections import Mongrel2Connection, WSGIConnection
from brubeck.request_handling import (
    Brubeck,
    JSONMessageHandler,
    MessageHandler,
    WebMessageHandler,
    http_response,
    render,
)
from brubeck.templating import Jinja2Rendering, load_jinja2_env

##
## storage
##


class GuestBook(object):
    """What one had a database for."""

    def __init__(self):
        self.entries = []

    def insert(self, author, text):
        self.entries.append({"author": author, "text": text, "id": len(self.entries)})
        return self.entries[-1]


##
## handlers
##


def logged_in(method):
    """Sends who is not logged in to the page where one does."""

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        if not self.current_user:
            return self.redirect(self.application.login_url)
        return method(self, *args, **kwargs)

    return wrapper


class UserMixin(object):
    """Knows the user by a signed cookie."""

    @property
    def current_user(self):
        return self.get_cookie("user_id", secret=self.application.cookie_secret)

    def logout(self):
        self.delete_cookies()


class Base(UserMixin, WebMessageHandler, Jinja2Rendering):
    """What the pages have in common."""

    finished = 0

    def initialize(self):
        self.started = self.current_time

    def prepare(self):
        self.headers["X-Prepared"] = "%s" % self.message.path

    def on_finish(self):
        Base.finished += 1
        logging.debug("finished after %s ms", self.current_time - self.started)


class ListHandler(Base):
    """All entries."""

    def get(self):
        context = {"entries": self.db_conn.entries, "user": self.current_user}
        return self.render_template("list.html", **context)

    @logged_in
    def post(self):
        text = self.get_argument("text")
        if not text:
            return self.render_error(self._FAILED_CODE)
        self.db_conn.insert(self.current_user, text)
        for files in self.message.files.values():
            for upload in files:
                self.db_conn.insert(self.current_user, upload["filename"])
        return self.redirect("/")


class LoginHandler(Base):
    """In and out."""

    def get(self):
        return self.render_template("login.html")

    def post(self):
        user = self.get_argument("user", "nobody")
        secret = self.application.cookie_secret
        self.set_cookie("user_id", user, secret=secret, max_age=3600, httponly=True)
        self.set_cookie("seen", "yes")
        return self.redirect("/")

    def delete(self):
        self.logout()
        self.set_body("bye")
        return self.render()


class ApiHandler(JSONMessageHandler):
    """Entries as JSON."""

    def get(self, entry_id=None):
        entries = self.db_conn.entries
        self.set_status(self._SUCCESS_CODE)
        self.add_to_payload("data", entries[int(entry_id)] if entry_id else entries)
        return self.render(hide_status=True)

    def post(self):
        entry = json.loads(self.message.body)
        self.add_to_payload("entry", self.db_conn.insert(**entry))
        self.set_status(self._CREATED_CODE, extra_txt="thank you")
        return self.render()

    def put(self, entry_id):
        def explain():
            self.add_to_payload("reason", self._response_codes[self._FORBIDDEN])

        return self.render_error(self._FORBIDDEN, error_handler=explain)

    def error(self, err):
        self.clear_payload()
        self.add_to_payload("error", type(err).__name__)
        return self.render(status_code=self._NOT_FOUND)


class PlainHandler(MessageHandler):
    """The simplest of all."""

    def get(self, name="nobody"):
        self.add_to_payload("name", name)
        return self.render(self._SUCCESS_CODE)


class CounterHandler(WebMessageHandler):
    """Says so with 200 whatever happened, as scripts of the time wanted it."""

    def get(self):
        self.body = "%s" % Base.finished
        self.set_status(self._MULTI_CODE)
        return self.render(http_200=True)


def hello(application, message, name):
    """A function in the table of routes."""
    body = "Hello %s, %s entries" % (name, len(application.db_conn.entries))
    return render(body, 200, "OK", {"Content-Type": "text/plain"})


##
## runtime configuration
##
def connection():
    if "PULL_ADDR" in os.environ:
        return Mongrel2Connection(os.environ["PULL_ADDR"], os.environ["PUB_ADDR"])
    return WSGIConnection(port=int(os.environ["WSGI_PORT"]))


config = {
    "msg_conn": connection(),
    "handler_tuples": [
        (r"^/$", ListHandler),
        (r"^/login$", LoginHandler),
        (r"^/api/(?P<entry_id>\d+)$", ApiHandler),
        (r"^/api$", ApiHandler),
        (r"^/plain(?:/(\w+))?", PlainHandler),
        (r"^/counter", CounterHandler),
        (r"^/hello/(\w+)$", hello),
    ],
    "pool": lambda: Pool(100),
    "no_handler": None,
    "base_handler": None,
    "template_loader": load_jinja2_env("./templates", trim_blocks=True),
    "log_level": logging.DEBUG,
    "login_url": "/login",
    "db_conn": GuestBook(),
    "cookie_secret": "51cRa%76fa^O9h$4cwl$!@_F%g9%l_)-6OO1!",
}

app = Brubeck(**config)


@app.add_route(r"^/teapot", method="GET")
def teapot(application, message):
    assert http_response("short and stout", 418, "Teapot", {}).startswith(b"HTTP/1.1 418 Teapot")
    name = message.get_argument("name", "teapot")
    return render("I am a %s" % name, 418, "Teapot", {})


@app.add_route("^/search", method=["GET", "POST"])
def search(application, message):
    wanted = message.get_arguments("word")
    found = [e["text"] for e in application.db_conn.entries if e["text"] in wanted]
    return render(json.dumps(found), 200, "OK", {"Content-Type": "application/json"})


if __name__ == "__main__":
    app.run()

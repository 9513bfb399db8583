"""What people write: classes whose methods answer a message.

A handler is made for one message and called once: `prepare`, the method of the message's
name, `on_finish`. A method returns what `render` returned; exceptions pass through to
`Brubeck.handle`, which asks `error` what to answer. Knows no socket and no server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from brubeck.errors import phrase_of, status_of
from brubeck.response import HeaderValue, Response
from brubeck.routing import call

if TYPE_CHECKING:
    from brubeck.application import Brubeck


_STATUSES = range(100, 600)

_OF_A_BODY = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
    }
)
"""Headers of what a handler meant to answer, which are wrong for an error's page."""


class MessageHandler:
    """Answers with its payload as JSON."""

    transport: ClassVar[str] = "http"
    """Messages of which transport reach this class: `http` or `service`."""

    METHODS: ClassVar[frozenset[str]] = frozenset(
        ("get", "head", "post", "put", "delete", "options")
    )
    """The names a message may call; no other attribute is ever looked up for one."""

    _SUCCESS_CODE = 200
    _UPDATED_CODE = 200
    _CREATED_CODE = 201
    _MULTI_CODE = 207
    _FAILED_CODE = 400
    _AUTH_FAILURE = 401
    _FORBIDDEN = 403
    _NOT_FOUND = 404
    _NOT_ALLOWED = 405
    _SERVER_ERROR = 500
    _DEFAULT_STATUS = _SERVER_ERROR

    _response_codes: ClassVar[Mapping[int, str]] = {s.value: s.phrase for s in HTTPStatus}
    """The texts of statuses; a code that yours lacks has its usual one."""

    _DEFAULT_HEADERS: ClassVar[Mapping[str, str]] = {}

    def __init__(self, application: Brubeck, message: Any) -> None:
        self.application = application
        self.message = message
        self.db_conn = application.db_conn
        self.headers: dict[str, Any] = {}
        self._payload: dict[str, Any] = {}
        self.timestamp = self.current_time
        self.set_status(self._DEFAULT_STATUS)
        self.initialize()

    def initialize(self) -> None:
        """Called when the handler is made, before anything else; yours to override."""

    def prepare(self) -> None:
        """Called before the method; yours to override."""

    def on_finish(self) -> None:
        """Called after the method, also after one that raised; yours to override."""

    def __call__(self, *args: str, **kwargs: str) -> Any:
        """Run the method the message names, with the arguments of the url."""
        try:
            self.prepare()
            return call(self._method(), args, kwargs)
        finally:
            self.on_finish()

    def _method(self) -> Callable[..., Any]:
        name = self.message.method.lower()
        if name == "head" and name in self.METHODS and not hasattr(self, "head"):
            name = "get"  # the connection leaves the body out
        method = getattr(self, name, None) if name in self.METHODS else None
        return method or self.unsupported

    @property
    def supported_methods(self) -> list[str]:
        """The names of the methods this handler has, in upper case."""
        names = {name for name in self.METHODS if hasattr(self, name)}
        if "get" in names and "head" in self.METHODS:
            names.add("head")
        return sorted(name.upper() for name in names)

    @property
    def current_time(self) -> int:
        """Now, in milliseconds since 1970."""
        return int(time.time() * 1000)

    def set_status(
        self, code: int, status_msg: str | None = None, extra_txt: str | None = None
    ) -> None:
        """Set the status, with its usual text or your own; `extra_txt` follows after a dash.

        Raises:
            ValueError: if the code is not a number from 100 to 599.
        """
        if code not in _STATUSES:
            raise ValueError(f"no status: {code!r} (100 to 599)")
        self.status_code = code
        self.status_msg = status_msg or self._response_codes.get(code) or phrase_of(code)
        if extra_txt:
            self.status_msg = f"{self.status_msg} - {extra_txt}"

    def add_to_payload(self, key: str, value: Any) -> None:
        """Add to what the answer holds."""
        self._payload[key] = value

    def clear_payload(self) -> None:
        """Forget what was added."""
        self._payload = {}

    def render(self, status_code: int | None = None, **_kwargs: Any) -> Any:
        """The answer: the payload with `status_code`, `status_msg`, `timestamp`, as JSON.

        Raises:
            TypeError: if a value in the payload has no JSON form.
        """
        if status_code is not None:
            self.set_status(status_code)
        return self._json_response(self._full_payload())

    def render_error(
        self, status_code: int, error_handler: Callable[[], Any] | None = None, **kwargs: Any
    ) -> Any:
        """The answer to something that went wrong; `error_handler` may fill the payload."""
        self._start_anew()
        self.set_status(status_code)
        if error_handler is not None:
            error_handler()
        return self.render(status_code=status_code, **kwargs)

    def unsupported(self, *_args: str, **_kwargs: str) -> Any:
        """The answer where this handler lacks the method: 405."""
        self.headers["Allow"] = ", ".join(self.supported_methods)
        return self.render_error(405)

    def error(self, err: BaseException) -> Any:
        """The answer to an exception that a method let through; yours to override."""
        return self.render_error(status_of(err))

    def _start_anew(self) -> None:
        """Forget what was to be answered, and what its headers said of it."""
        self.clear_payload()
        said_how_long = any(name.lower() == "cache-control" for name in self.headers)
        self.headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_A_BODY}
        if said_how_long:
            self.headers["Cache-Control"] = "no-store"

    def _full_payload(self) -> dict[str, Any]:
        return self._payload | {
            "status_code": self.status_code,
            "status_msg": self.status_msg,
            "timestamp": self.timestamp,
        }

    def _json_response(self, value: Any) -> Response:
        headers = self._all_headers("application/json")
        return Response(self.status_code, self.status_msg, headers, msgspec.json.encode(value))

    def _all_headers(self, content_type: str) -> dict[str, HeaderValue]:
        defaults = {**self._DEFAULT_HEADERS, "Content-Type": content_type}
        given = {name.lower() for name in self.headers}
        return {k: v for k, v in defaults.items() if k.lower() not in given} | self.headers

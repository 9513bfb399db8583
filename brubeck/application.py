"""The application: what a message reaches, and what becomes of it.

`handle` is the one way from a message to its answer, for HTTP requests, service requests and
service responses alike, and the one place where an error becomes an answer.
"""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, cast

import gevent
from jinja2 import Environment

from brubeck import logs, tracing
from brubeck.cookies import Secret
from brubeck.environment import is_weak
from brubeck.errors import NothingRendered, StatusError, status_of
from brubeck.handlers import MessageHandler
from brubeck.health import serve_health
from brubeck.metrics import Metrics, Reading
from brubeck.response import Response
from brubeck.routing import Route, Router, Target, call
from brubeck.watchdog import watch_event_loop
from brubeck.web_handlers import WebMessageHandler

if TYPE_CHECKING:
    from brubeck.spans import Tracing

logger = logging.getLogger(__name__)


class MessageConnection(Protocol):
    """What `Brubeck` needs of its `msg_conn`."""

    def recv_forever_ever(self, application: "Brubeck") -> None:
        """Receive and answer messages until `stop`, then finish those in hand."""

    def stop(self) -> None:
        """Take no new work; `recv_forever_ever` returns when what is in hand is done."""

    def health(self) -> str:
        """`ok`, or what is wrong."""


class Brubeck:
    """A Brubeck application.

    Args:
        msg_conn: where messages come from, such as a `Mongrel2Connection`.
        handler_tuples: which handler, a class or a function, answers which paths:
            `(pattern, handler)`, tried in their order.
        pool: makes the pool of greenlets that handle messages, such as `gevent.pool.Pool`; when
            it is full, messages are refused with 503.
        base_handler: the class whose error page answers where no route does, and where a
            function fails; `WebMessageHandler` if None.
        no_handler: the class that answers where no route does, if that is another one.
        template_loader: returns the template environment, such as `load_jinja2_env(folder)`.
        log_level: a level of `logging`; used by `run`.
        log_format: `text` or `json` (one object a line); used by `run`.
        login_url: where your handlers send who is not logged in; kept for them.
        db_conn: your database connection; handlers find it as `self.db_conn`.
        cookie_secret: what signs cookies: a secret, or several, the one in use first; kept for
            your handlers.
        debug: show tracebacks in answers; for development only.
        request_timeout: seconds an HTTP request may take before it is answered with 504.
        drain_timeout: seconds that work in hand, and calls that nobody waits for, may take after
            SIGTERM.
        health_port: port on 127.0.0.1 for health checks (see `brubeck.health`); 0 for none.
        watchdog_timeout: seconds that the event loop may stand still before the process ends
            with status 70 (see `brubeck.watchdog`); 0 for ever.
        metrics_port: port, of every address of this host, for `/metrics` (see
            `brubeck.metrics_port`); 0 for none, and then nothing is counted.

    Raises:
        ValueError: if `msg_conn` is missing, or something in `handler_tuples` is not a route.
    """

    def __init__(  # noqa: PLR0917  # in the order of the original's
        self,
        msg_conn: MessageConnection | None = None,
        handler_tuples: Sequence[tuple[str, Target]] | None = None,
        pool: Callable[[], Any] | None = None,
        no_handler: type[MessageHandler] | None = None,
        base_handler: type[MessageHandler] | None = None,
        template_loader: Callable[[], Environment] | None = None,
        log_level: int | str = logging.INFO,
        login_url: str | None = None,
        db_conn: Any = None,
        cookie_secret: Secret | None = None,
        *,
        debug: bool = False,
        log_format: str = "text",
        request_timeout: float = 60.0,
        drain_timeout: float = 25.0,
        health_port: int = 0,
        watchdog_timeout: float = 30.0,
        metrics_port: int = 0,
    ) -> None:
        if msg_conn is None:
            raise ValueError("msg_conn is missing: where should messages come from?")
        self.msg_conn = msg_conn
        self.pool = pool() if pool else None
        self.base_handler = base_handler or WebMessageHandler
        self.no_handler = no_handler or self.base_handler
        self.template_env = template_loader() if template_loader else None
        self.log_level = log_level
        self.log_format = log_format
        self.login_url = login_url
        self.db_conn = db_conn
        self.cookie_secret = cookie_secret
        self.debug = debug
        self.request_timeout = request_timeout
        self.drain_timeout = drain_timeout
        self.health_port = health_port
        self.watchdog_timeout = watchdog_timeout
        self.tracing: Tracing | None = None
        """Makes traces, once `run` has found that they are wanted."""
        self.metrics_port = metrics_port
        self.metrics = Metrics() if metrics_port else None
        """What is counted, if anything is."""
        self._resources: dict[Any, Any] = {}
        self._router = Router()
        for pattern, target in handler_tuples or ():
            self.add_route_rule(pattern, target)

    def add_route(
        self, url_pattern: str, method: str | Sequence[str] | None = None
    ) -> Callable[[Target], Target]:
        """Decorate a function that answers the paths that match; see `add_route_rule`.

        The function gets the application, the message and the arguments of the url, and returns
        what `render` returned. `method`: the methods it answers, such as `"GET"`; all if None.

        Raises:
            ValueError: if the pattern is no regular expression, or a class is to answer some
                methods: it says itself which it has.
        """

        def decorate(function: Target) -> Target:
            if method is not None and isinstance(function, type):
                raise ValueError(f"route {url_pattern!r}: a class has its own methods: {method!r}")
            checked = function if method is None else _only_for(method, function)
            self.add_route_rule(url_pattern, checked)
            return function

        return decorate

    def add_route_rule(self, pattern: str, target: Target) -> None:
        """Route paths that match `pattern` to a handler class or function.

        Raises:
            ValueError: if the pattern is no regular expression, or the target not callable.
        """
        self._router.add(pattern, target)

    def render_template(self, template_file: str, **context: Any) -> str:
        """The text a template makes of `context`.

        Raises:
            ValueError: if the application has no `template_loader`.
        """
        if self.template_env is None:
            raise ValueError("template_loader is missing: where are the templates?")
        return self.template_env.get_template(template_file).render(**context)

    def route_message(self, message: Any) -> Route | None:
        """The route of a message, among the handlers of its transport."""
        return self._router.route(message.transport, message.path)

    def pattern_of(self, message: Any) -> str:
        """The pattern of a message's route as it was given; an empty text if there is no route."""
        route = self._router.route(message.transport, message.path)
        return "" if route is None else route.pattern

    def readings(self) -> Iterator[Reading]:
        """What the connections say when somebody reads the metrics."""
        for connection in (self.msg_conn, *list(self._resources.values())):
            if (readings := getattr(connection, "readings", None)) is not None:
                yield from readings()

    def finish_background(self, seconds: float) -> int:
        """Wait for the calls that nobody waits for, and their response handlers.

        Returns how many are left after `seconds`: 0 if all have ended.
        """
        end = time.monotonic() + seconds
        while (pools := self._background()) and (left := end - time.monotonic()) > 0:
            pools[0].join(left)  # what it was told may have made calls of another one
        return sum(map(len, pools))

    def _background(self) -> list[Any]:
        """The pools in which calls are under way that nobody waits for."""
        pools = (getattr(resource, "background", None) for resource in self._resources.values())
        return [pool for pool in pools if pool]

    def handle(self, message: Any, base_handler: type[MessageHandler] | None = None) -> Any:
        """The answer to a message. Raises nothing: an error is answered as an error.

        Where there is no route, `base_handler` answers 404; without one the answer is None.
        """
        route = self.route_message(message)
        handler = None
        try:
            if route is None:
                if base_handler is None:
                    return None
                web = message.transport == "http"
                handler = (self.no_handler if web else base_handler)(self, message)
                return _checked(message, handler.render_error(404))
            if not isinstance(route.target, type):
                return _checked(message, route.target(self, message, *route.args, **route.kwargs))
            handler = route.target(self, message)
            return _checked(message, call(handler.__call__, route.args, route.kwargs))
        except BaseException as error:  # noqa: BLE001  # sys.exit too: it would end the process
            self._note_error(message, error)
            return self._error_answer(message, error, handler, base_handler)

    def stream(self, message: Any, response: Response, send: Callable[[bytes], None]) -> Response:
        """Have `send` called with each piece of a streamed body, as soon as it is there.

        Returns the response; or an error's, which says that the body has not come to its end.
        """
        pieces = response.pieces or ()
        try:
            # A generator is closed now, and not when somebody collects it.
            with closing(pieces) if isinstance(pieces, Generator) else nullcontext():
                for piece in pieces:
                    if piece:
                        send(piece.encode() if isinstance(piece, str) else piece)
            return response
        except BaseException as error:  # noqa: BLE001  # as in `handle`
            self._note_error(message, error)
            return cast(Response, message.error_reply(status_of(error)))

    def refuse(self, message: Any, status_code: int, base_handler: type[MessageHandler]) -> Any:
        """The error answer to a message whose handler was not asked, or not in time."""
        try:
            return _checked(message, base_handler(self, message).render_error(status_code))
        except BaseException:
            logger.exception("the error page failed", extra={"request_id": message.request_id})
            return message.error_reply(status_code)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what is in hand; a second one ends at once.

        Raises:
            SettingError: if an address or a port cannot be opened; it ends the program.
        """
        logs.configure(self.log_level, self.log_format)
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._stop)
        secret: Any = self.cookie_secret or ()
        if any(map(is_weak, [secret] if isinstance(secret, str | bytes) else secret)):
            logger.warning("a cookie secret is short or published: good for a demonstration only")
        self.tracing = tracing.start()
        _spare_the_garbage_collector()
        if self.watchdog_timeout:
            watch_event_loop(self.watchdog_timeout)
        servers = self._serve_operators()
        logger.info("started")
        try:
            self.msg_conn.recv_forever_ever(self)
        finally:
            for server in servers:
                server.stop()
            for resource in list(self._resources.values()):
                resource.close()
            if self.tracing is not None:
                self.tracing.stop()
        logger.info("stopped")

    def _serve_operators(self) -> list[Any]:
        servers: list[Any] = []
        if self.health_port:
            servers.append(serve_health(self.health_port, self.msg_conn.health))
        if self.metrics is not None:
            # Here, because it loads what is not needed without it.
            from brubeck.metrics_port import MetricsPort  # noqa: PLC0415

            servers.append(MetricsPort(self.metrics_port, self.metrics, self.readings))
        return servers

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(1))  # whatever runs now
        logger.info("stopping: no new work, finishing what is in hand")
        self.msg_conn.stop()

    def _note_error(self, message: Any, error: BaseException) -> None:
        _log_error(message, error)
        if self.tracing is not None and not isinstance(error, gevent.GreenletExit):
            self.tracing.failed(error)

    def _error_answer(
        self,
        message: Any,
        error: BaseException,
        handler: MessageHandler | None,
        base_handler: type[MessageHandler] | None,
    ) -> Any:
        try:
            if handler is None and base_handler is not None:
                handler = base_handler(self, message)
            if handler is not None:
                return _checked(message, handler.error(error))
        except BaseException:
            logger.exception("the error page failed", extra={"request_id": message.request_id})
        return message.error_reply(status_of(error))


def _spare_the_garbage_collector() -> None:
    """Leave what lives as long as the process alone, and look at the rest less often.

    Nothing here makes cycles for each message; the default thresholds cost a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _only_for(method: str | Sequence[str], function: Target) -> Target:
    """The function, for some methods; others are answered with 405."""
    methods = {name.upper() for name in ([method] if isinstance(method, str) else method)}
    if "GET" in methods:
        methods.add("HEAD")

    def checked(application: Brubeck, message: Any, *args: str, **kwargs: str) -> Any:
        if message.method in methods:
            return function(application, message, *args, **kwargs)
        refusal = application.base_handler(application, message)
        refusal.headers["Allow"] = ", ".join(sorted(methods))
        return refusal.render_error(405)

    return checked


def _checked(message: Any, rendered: Any) -> Any:
    if not isinstance(rendered, message.reply_type):
        raise NothingRendered(f"the handler returned {type(rendered).__name__}, not render()")
    return rendered


def _log_error(message: Any, error: BaseException) -> None:
    extra = {"request_id": message.request_id}
    what = f"{message.method} {message.path}"
    if isinstance(error, StatusError):
        logger.warning("%s: %s: %s", what, type(error).__name__, error, extra=extra)
    elif isinstance(error, gevent.GreenletExit):
        logger.info("%s: the handler was ended: too late, or nobody waits", what, extra=extra)
    else:
        logger.error("%s: the handler failed", what, exc_info=error, extra=extra)

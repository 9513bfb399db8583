"""Handlers for messages between instances: requests at a service, responses at its caller."""

import time
from collections.abc import Callable
from contextvars import copy_context
from functools import cache, partial
from typing import Any, ClassVar

import gevent
from gevent.threadpool import ThreadPool

from brubeck.errors import status_of
from brubeck.handlers import MessageHandler
from brubeckservice import protocol
from brubeckservice.progress import reporter
from brubeckservice.protocol import ServiceRequest, ServiceResponse

THREADS = 10
"""`cpu_bound` methods that run at a time: they share one interpreter."""

_NOBODY_WAITS = float("-inf")


class ServiceMessageHandler(MessageHandler):
    """Answers a ServiceRequest, or is told a ServiceResponse.

    For a response, `status_code` and `status_msg` are the response's.
    """

    transport = "service"
    METHODS = protocol.METHODS

    cpu_bound: ClassVar[bool] = False
    """Run the method in a native thread, so that heavy work leaves the event loop free."""

    message: ServiceRequest | ServiceResponse

    def __init__(self, application: Any, message: ServiceRequest | ServiceResponse) -> None:
        self._begun = time.monotonic()
        super().__init__(application, message)
        if isinstance(message, ServiceResponse):
            self.set_status(message.status_code, message.status_msg)

    @property
    def seconds_left(self) -> float:
        """Seconds the caller of a request still waits; 0 once it does not, and for responses."""
        budget = getattr(self.message, "budget", 0) / 1000
        return float(max(0.0, budget - (time.monotonic() - self._begun)))

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell the caller how far the work has come, if it wants to know.

        At any time and as often as you like, from `cpu_bound` methods too: the caller is told
        the newest, some twenty times a second.

        Raises:
            ValueError: if `fraction` is not from 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction}")
        report = reporter.get()
        if report is not None:
            report(float(fraction), note)  # of any kind that compares: True, a Fraction

    def render(self, status_code: int | None = None, **_kwargs: Any) -> ServiceResponse:
        """The response: the payload and the status, about the request's path.

        Its method is what `headers` say for METHOD, and `response` where they say nothing.
        """
        if status_code is not None:
            self.set_status(status_code)
        return ServiceResponse(
            id=self.message.id,
            status_code=self.status_code,
            status_msg=self.status_msg,
            path=self.message.path,
            method=self.headers.get("METHOD", "response"),
            headers=self.headers,
            body=self._payload,
            request_id=self.message.request_id,
        )

    def error(self, err: BaseException) -> ServiceResponse:
        """The answer to an exception: its status, and the id under which the log has it."""
        self.clear_payload()
        self.set_status(status_of(err))
        self.add_to_payload("error_id", self.message.request_id)
        return self.render()

    def _method(self) -> Callable[..., Any]:
        method = super()._method()
        return partial(self._in_thread, method) if self.cpu_bound else method

    def _in_thread(self, method: Callable[..., Any], *args: str, **kwargs: str) -> Any:
        context = copy_context()

        def work() -> tuple[Any, BaseException | None]:
            if self._begun == _NOBODY_WAITS:  # any more, when it was this one's turn
                return None, None
            try:
                return context.run(method, *args, **kwargs), None
            except BaseException as error:  # noqa: BLE001  # gevent would end the process by some
                return None, error

        try:
            result, error = _threads_of(gevent.get_hub()).apply(work)
        except gevent.GreenletExit:  # the thread learns it by `seconds_left`
            self._begun = _NOBODY_WAITS
            raise
        try:
            if error is not None:
                raise error
            return result
        finally:
            del error  # its traceback keeps this frame, and it the message


@cache
def _threads_of(hub: Any) -> ThreadPool:
    """Threads of their own: the event loop's look up names, which must not wait for these."""
    return ThreadPool(THREADS, hub=hub)

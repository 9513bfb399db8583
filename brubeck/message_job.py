"""A message that the application answers: what is done with it, and with its answer."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent

from brubeck.handlers import MessageHandler
from brubeck.in_hand import Job
from brubeck.response import Response

if TYPE_CHECKING:
    from brubeck.application import Brubeck
    from brubeck.spans import ServerSpan


ERROR_PAGE_TIMEOUT = 5.0
"""Seconds for the error page of a message whose handler took too long."""


class MessageJob(Job):
    """A message that the application answers."""

    __slots__ = ("_answer", "_application", "_base_handler", "_begin", "_stream", "message")

    def __init__(
        self,
        application: "Brubeck",
        message: Any,
        base_handler: type[MessageHandler],
        answer: Callable[[Any], Any],
        *,
        begin: Callable[[], object] | None,
        stream: Callable[[Job, Response], Response] | None,
    ) -> None:
        super().__init__()
        self._application = application
        self.message = message
        self._base_handler = base_handler
        self._answer = answer
        self._begin = begin
        self._stream = stream

    def work(self) -> Any:
        """The application's answer."""
        if self._begin is not None:
            self._begin()
        answer = self._application.handle(self.message, self._base_handler)
        if self._stream is not None and answer.streamed and not self.ended:
            return self._stream(self, answer)
        return answer

    def too_late(self) -> Any:
        """Its answer where the handler took too long: an error page, if that does not as well."""
        with gevent.Timeout(ERROR_PAGE_TIMEOUT):
            answer = self._application.refuse(self.message, 504, self._base_handler)
        return self.message.error_reply(504) if getattr(answer, "streamed", False) else answer

    def failed(self, result: Any) -> bool:
        """Whether the handler may have left something behind; its answer tells, as a rule."""
        return result.status_code not in range(400)

    def answer(self, result: Any) -> Any:
        """Send it. Returns what was sent: an error's, if it could not be."""
        return self._answer(result) or result


class RecordedJob(MessageJob):
    """A message of which there is a span, which ends with it."""

    __slots__ = ("_span",)

    def __init__(self, span: "ServerSpan", *what: Any, **how: Any) -> None:
        super().__init__(*what, **how)
        self._span = span

    def answer(self, result: Any) -> Any:
        """As `MessageJob.answer`."""
        result = super().answer(result)
        self._span.answered(result.status_code)
        return result

    def abandoned(self) -> None:
        """As `MessageJob.abandoned`."""
        self._span.abandoned()

"""What stands in for Mongrel2 and the browser where a test needs neither."""

from typing import Any

from brubeck.application import Brubeck
from brubeck.request import Request
from brubeck.routing import Target


class SilentConnection:
    """A `msg_conn` that no message comes from."""

    def recv_forever_ever(self, application: Brubeck) -> None:
        """Return at once."""

    def stop(self) -> None:
        """Do nothing."""

    def health(self) -> str:
        """Be well."""
        return "ok"


class FakeTracing:
    """Records every message; `ended` says how, by its status or as `abandoned`."""

    def __init__(self) -> None:
        self.ended: list[int | str] = []

    def begin(self, _application: Brubeck, message: Any) -> tuple[Any, None, "FakeTracing"]:
        """Be the span, too."""
        return message, None, self

    def resume(self, traceparent: str) -> None:
        """Go on."""

    def failed(self, error: BaseException) -> None:
        """Take note."""

    def answered(self, status_code: int) -> None:
        """End."""
        self.ended.append(status_code)

    def abandoned(self) -> None:
        """End without an answer."""
        self.ended.append("abandoned")


def brubeck(*routes: tuple[str, Target], **settings: Any) -> Brubeck:
    """An application with these routes."""
    return Brubeck(SilentConnection(), routes, **settings)


def request(
    path: str = "/", method: str = "GET", headers: dict[str, str] | None = None, **metadata: str
) -> Request:
    """A browser's request; `metadata` is Mongrel2's own, such as QUERY and VERSION."""
    return Request(
        {"METHOD": method, "PATH": path} | metadata | (headers or {}), request_id="a-request"
    )


def ask(application: Brubeck, path: str = "/", method: str = "GET", **metadata: str) -> Any:
    """What the application answers to a browser's request."""
    return application.handle(request(path, method, None, **metadata), application.base_handler)

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

"""Handlers that answer browsers: bodies and headers, arguments and cookies."""

from __future__ import annotations

import html
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from brubeck import cookies
from brubeck.cookies import Secret
from brubeck.errors import status_of
from brubeck.handlers import MessageHandler
from brubeck.response import HeaderValue, Pieces, Response

if TYPE_CHECKING:
    from brubeck.application import Brubeck


class WebMessageHandler(MessageHandler):
    """Answers a browser with a body and headers."""

    _DEFAULT_HEADERS: ClassVar[Mapping[str, str]] = {"X-Content-Type-Options": "nosniff"}

    body: str | bytes | Pieces = ""

    def __init__(self, application: Brubeck, message: Any) -> None:
        self._cookies: dict[tuple[str, Any, Any], str] = {}
        """By what makes a cookie one of its own: name, domain and path (RFC 6265, section 5.3)."""
        super().__init__(application, message)

    def set_body(
        self,
        body: str | bytes | Pieces,
        headers: Mapping[str, HeaderValue] | None = None,
        status_code: int = 200,
    ) -> None:
        """Set the body, the status and, where given, headers of the answer.

        A body that is neither text nor bytes is streamed: each of its pieces is sent as soon as
        it is there.
        """
        self.body = body
        self.headers.update(headers or {})
        self.set_status(status_code)

    def get_argument(self, name: str, default: str | None = None, strip: bool = True) -> str | None:
        """The last value of an argument of the request, or `default`."""
        value: str | None = self.message.get_argument(name, default, strip)
        return value

    def get_arguments(self, name: str, strip: bool = True) -> list[str]:
        """All values of an argument of the request."""
        values: list[str] = self.message.get_arguments(name, strip)
        return values

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of the request by name, as the browser sent them."""
        cookies: dict[str, str] = self.message.cookies
        return cookies

    def get_cookie(
        self,
        key: str,
        default: Any = None,
        secret: Secret | None = None,
        max_age: int | None = None,
    ) -> Any:
        """A cookie of the request, or `default`.

        With `secret`: the value that was signed with it, at most `max_age` seconds ago; a cookie
        whose signature does not hold is as good as none.
        """
        value = self.cookies.get(key)
        if value is not None and secret is not None:
            value = cookies.unsign(secret, key, value, max_age)
        return default if value is None else value

    def set_cookie(
        self, key: str, value: Any, secret: Secret | None = None, **attributes: Any
    ) -> None:
        """Give the browser a cookie; with `secret` a signed one, of any value JSON can hold.

        Attributes: `max_age` (seconds), `expires` (datetime or seconds since 1970), `domain`,
        `path` (`/`), `secure`, `httponly`, `samesite`.

        Raises:
            ValueError: if the name, the value or an attribute cannot be one.
            TypeError: if the value is no text and there is no secret.
        """
        if secret is not None:
            value = cookies.sign(secret, key, value)
        elif not isinstance(value, str):
            raise TypeError(f"cookie {key!r}: a value that is no text needs a secret")
        self._set(key, value, attributes)

    def delete_cookie(self, key: str, **attributes: Any) -> None:
        """Have the browser forget a cookie; `path` and `domain` must be those it was set with."""
        self._set(key, "", {"max_age": 0} | attributes)

    def delete_cookies(self) -> None:
        """Have the browser forget every cookie it sent."""
        for key in self.cookies:
            with suppress(ValueError):  # a browser may send names that nobody could have set
                self.delete_cookie(key)

    def _set(self, key: str, value: str, attributes: Mapping[str, Any]) -> None:
        which = key, attributes.get("domain"), attributes.get("path", "/")
        self._cookies[which] = cookies.format_cookie(key, value, attributes)

    def redirect(self, url: str) -> Any:
        """The answer that sends the browser to another address (302)."""
        self.set_body("", {"Location": url}, status_code=302)
        return self.render()

    def options(self, *_args: str, **_kwargs: str) -> Any:
        """What OPTIONS answers: the methods this handler has."""
        self.headers["Allow"] = ", ".join(self.supported_methods)
        self.set_body("")
        return self.render()

    def render(self, status_code: int | None = None, http_200: bool = False, **_: Any) -> Any:
        """The answer; with `http_200` its HTTP status is 200 whatever the handler's is."""
        if status_code is not None:
            self.set_status(status_code)
        code, text = (200, "OK") if http_200 else (self.status_code, self.status_msg)
        return render(self.body, code, text, self._all_headers("text/html; charset=utf-8"))

    def render_error(
        self, status_code: int, error_handler: Callable[[], Any] | None = None, **kwargs: Any
    ) -> Any:
        """A plain page that says what went wrong and how the log names this request."""
        self.set_status(status_code)
        title = html.escape(f"{status_code} {self.status_msg}")
        request_id = html.escape(self.message.request_id)
        self.body = (
            f'<!doctype html>\n<html lang="en"><title>{title}</title>\n'
            f"<h1>{title}</h1>\n<p>Request {request_id}</p></html>\n"
        )
        return super().render_error(status_code, error_handler, **kwargs)

    def error(self, err: BaseException) -> Any:
        """The answer to an exception: its page, or its traceback where `debug` is on."""
        if not self.application.debug:
            return super().error(err)
        self._start_anew()
        self.set_status(status_of(err))
        text = "".join(traceback.format_exception(err)).encode(errors="backslashreplace")
        headers = self._all_headers("text/plain; charset=utf-8")
        return Response(self.status_code, self.status_msg, headers, text)

    def _all_headers(self, content_type: str) -> dict[str, HeaderValue]:
        headers = super()._all_headers(content_type)
        if self._cookies:
            given = [headers.pop(name) for name in list(headers) if name.lower() == "set-cookie"]
            own = [[value] if isinstance(value, str) else value for value in given]
            headers["Set-Cookie"] = [*chain.from_iterable(own), *self._cookies.values()]
        return headers


class JSONMessageHandler(WebMessageHandler):
    """Answers with its payload as JSON."""

    def render(  # type: ignore[override]  # the order of its arguments is the original's
        self, status_code: int | None = None, hide_status: bool = False, **_: Any
    ) -> Any:
        """The payload with its status; with `hide_status` only its `data`, where it has one."""
        if status_code is not None:
            self.set_status(status_code)
        payload = self._full_payload()
        if hide_status and "data" in payload:
            payload = payload["data"]
        return self._json_response(payload)


def render(
    body: str | bytes | Pieces,
    status_code: int,
    status_msg: str,
    headers: Mapping[str, HeaderValue],
) -> Response:
    """The answer of a handler that is a function; a body in pieces is streamed."""
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        return Response(status_code, status_msg, headers, body)
    return Response(status_code, status_msg, headers, pieces=body)

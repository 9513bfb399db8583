"""Cookies: reading them, writing them, and signing what must not be changed. No I/O.

A signed cookie holds JSON, and its signature (itsdangerous: HMAC over name, value and time)
covers its name, so that one cookie's value cannot serve as another's. Source: RFC 6265.
"""

import datetime
from collections.abc import Mapping, Sequence
from email.utils import format_datetime
from http.cookies import CookieError, Morsel
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

Secret = str | Sequence[str]
"""A secret, or the one in use and after it those whose signatures still hold."""

MAX_COOKIES = 100
"""Cookies read from one request; further ones are left out."""

_ATTRIBUTES = {
    "max_age": "max-age",
    "expires": "expires",
    "domain": "domain",
    "path": "path",
    "secure": "secure",
    "httponly": "httponly",
    "samesite": "samesite",
}


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a request; what is no cookie is left out, and the first of a name counts."""
    cookies: dict[str, str] = {}
    for pair in header.split(";")[:MAX_COOKIES]:
        name, equals, value = pair.strip().partition("=")
        if equals and name:
            cookies.setdefault(name, value.removeprefix('"').removesuffix('"'))
    return cookies


def format_cookie(name: str, value: str, attributes: Mapping[str, Any]) -> str:
    """The value of a Set-Cookie header; its path is `/` where `attributes` say nothing.

    Attributes: `max_age` (seconds), `expires` (datetime, or seconds since 1970), `domain`,
    `path`, `secure`, `httponly`, `samesite`.

    Raises:
        ValueError: if the name or an attribute cannot be one.
    """
    cookie: Morsel[str] = Morsel()
    try:
        cookie.set(name, value, _quoted(value))
        for attribute, given in ({"path": "/"} | dict(attributes)).items():
            if ";" in str(given):
                raise ValueError(f"an attribute of cookies cannot be {given!r}")
            cookie[_ATTRIBUTES[attribute]] = _date(given) if attribute == "expires" else given
    except KeyError as error:
        raise ValueError(f"no attribute of cookies: {error}") from None
    except CookieError as error:
        raise ValueError(str(error)) from None
    return cookie.OutputString()


def sign(secret: Secret, name: str, value: Any) -> str:
    """A value for a cookie of this name, with the time, that only `secret` can make.

    Raises:
        TypeError: if the value has no JSON form.
    """
    signed: str = _serializer(secret, name).dumps(value)
    return signed


def unsign(secret: Secret, name: str, signed: str, max_age: int | None = None) -> Any:
    """The value that was signed for a cookie of this name, at most `max_age` seconds ago.

    None if the signature does not hold: somebody else made it, or for another name.
    """
    try:
        return _serializer(secret, name).loads(signed, max_age=max_age)
    except BadData:
        return None


def _serializer(secret: Secret, name: str) -> URLSafeTimedSerializer:
    oldest_first = [secret] if isinstance(secret, str) else list(reversed(secret))
    return URLSafeTimedSerializer(oldest_first, salt=f"cookie:{name}")


def _quoted(value: str) -> str:
    if not value.isascii() or not value.isprintable() or set(value) & set('",;\\ '):
        raise ValueError(f"a cookie's value must be plain text, or signed: {value!r}")
    return value


def _date(when: datetime.datetime | float) -> str:
    if not isinstance(when, datetime.datetime):
        when = datetime.datetime.fromtimestamp(when, datetime.UTC)
    return format_datetime(when.astimezone(datetime.UTC), usegmt=True)

"""Which handler answers which path. No I/O.

Patterns are tried in order of registration, and the first that matches wins. Web handlers
and service handlers stand in one table, but a message reaches only those of its transport:
nothing a browser sends can run a service handler, and no service reply a web handler.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

Target = Callable[..., Any]


_NO_ARGUMENTS: tuple[tuple[str, ...], Mapping[str, str]] = (), MappingProxyType({})


class Route(NamedTuple):
    """A handler class or function, the arguments the url holds for it, and the rule's pattern."""

    target: Target
    args: tuple[str, ...]
    kwargs: Mapping[str, str]
    pattern: str


CACHED = 256
"""Paths whose routes are remembered; browsers make them up to 16 KiB long."""


class Router:
    """The routing table."""

    def __init__(self) -> None:
        self._rules: dict[str, list[tuple[re.Pattern[str], Target]]] = {}
        self.route = lru_cache(CACHED)(self._route)
        """The route of a path, by its transport; None if there is none."""

    def add(self, pattern: str, target: Target) -> None:
        """Append a rule.

        Raises:
            ValueError: if the pattern is no regular expression, or the target not callable.
        """
        if not callable(target):
            raise ValueError(f"route {pattern!r}: {target!r} is neither a class nor a function")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"route {pattern!r}: {error}") from None
        transport = getattr(target, "transport", "http")
        self._rules.setdefault(transport, []).append((compiled, target))
        self.route.cache_clear()

    def _route(self, transport: str, path: str) -> Route | None:
        """The first rule of this transport that matches, or None."""
        for pattern, target in self._rules.get(transport, ()):
            if match := pattern.match(path):
                arguments = _url_arguments(match) if pattern.groups else _NO_ARGUMENTS
                return Route(target, *arguments, pattern.pattern)
        return None


def call(function: Target, args: Sequence[str], kwargs: Mapping[str, str]) -> Any:
    """What a function returns for the arguments of a url."""
    if not (args or kwargs):
        return function()  # while it waits, Python keeps a kilobyte less for a plain call
    return function(*args, **kwargs)


def _url_arguments(match: re.Match[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Named groups if the pattern has any, positional ones otherwise.

    A group that took no part is left out, so that the handler's own default counts.
    """
    if match.re.groupindex:
        return (), {name: value for name, value in match.groupdict().items() if value is not None}
    return tuple(value for value in match.groups() if value is not None), {}

import re

import pytest

from brubeck.routing import CACHED, Route, Router


class Web:
    """Answers HTTP, as anything does that does not say otherwise."""


class Other(Web):
    pass


class Service:
    transport = "service"


def function() -> None:
    pass


def router(*rules: tuple[str, type]) -> Router:
    table = Router()
    for pattern, target in rules:
        table.add(pattern, target)
    return table


@pytest.mark.parametrize(
    ("pattern", "path", "arguments"),
    [
        (r"^/$", "/", ((), {})),
        (r"^/$", "/other", None),
        (r"^/a", "/a/b", ((), {})),
        (r"/b", "/a/b", None),
        (r"^/(\d+)/(\w+)$", "/1/x", (("1", "x"), {})),
        (r"^/(?P<number>\d+)/(\w+)$", "/1/x", ((), {"number": "1"})),
        (r"^/list(?:/(\d+))?$", "/list", ((), {})),
        (r"^/list(?:/(?P<page>\d+))?$", "/list", ((), {})),
        (r"^/list(?:/(?P<page>\d+))?$", "/list/2", ((), {"page": "2"})),
        (r"^/(\d*)$", "/", (("",), {})),
    ],
)
def test_a_pattern_a_path_and_the_arguments_of_the_url(
    pattern: str, path: str, arguments: tuple[tuple[str, ...], dict[str, str]] | None
) -> None:
    expected = None if arguments is None else Route(Web, *arguments, pattern)
    assert router((pattern, Web)).route("http", path) == expected


def test_the_first_pattern_that_matches_wins() -> None:
    first = router((r"^/a", Web), (r"^/", Other))
    assert first.route("http", "/a") == Route(Web, (), {}, r"^/a")
    assert first.route("http", "/b") == Route(Other, (), {}, r"^/")


def test_a_message_reaches_only_the_handlers_of_its_transport() -> None:
    # Given a path at which both kinds of handlers stand
    table = router((r"^/both", Service), (r"^/both", Web), (r"^/service", Service), (r"^/web", Web))
    # Then
    assert table.route("http", "/both") == Route(Web, (), {}, r"^/both")
    assert table.route("service", "/both") == Route(Service, (), {}, r"^/both")
    assert table.route("http", "/service") is None
    assert table.route("service", "/web") is None


def test_a_function_answers_http() -> None:
    table = Router()
    table.add(r"^/", function)
    assert table.route("http", "/") == Route(function, (), {}, r"^/")
    assert table.route("service", "/") is None


@pytest.mark.parametrize("pattern", ["(", "[", "*"])
def test_a_pattern_that_is_no_regular_expression_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        Router().add(pattern, Web)


def test_a_target_that_cannot_be_called_is_refused_by_its_pattern() -> None:
    with pytest.raises(ValueError, match=r"'/page'.*neither a class nor a function"):
        Router().add("/page", "Page")  # type: ignore[arg-type]


def test_a_rule_that_is_added_later_counts_for_paths_seen_before() -> None:
    table = router((r"^/a$", Web))
    assert table.route("http", "/b") is None

    table.add(r"^/b$", Other)

    assert table.route("http", "/b") == Route(Other, (), {}, r"^/b$")


def test_so_many_paths_are_remembered_and_no_more() -> None:
    table = router((r"^/(\d+)$", Web))

    for number in range(2 * CACHED):
        table.route("http", f"/{number}")

    assert table.route.cache_info().currsize == CACHED

from typing import Any

import pytest

from brubeck.cookies import MAX_COOKIES, format_cookie, parse_cookies, sign, unsign


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ('a="1"', {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("=1; bare; b=2", {"b": "2"}),
        ("a=\xff", {"a": "\xff"}),
    ],
)
def test_a_header_and_its_cookies(header: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(header) == cookies


def test_cookies_beyond_the_limit_are_left_out() -> None:
    header = "; ".join(f"c{number}=1" for number in range(MAX_COOKIES + 1))
    assert len(parse_cookies(header)) == MAX_COOKIES


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a\r\nb", "grün", "path"])
def test_a_name_that_no_cookie_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="key"):
        format_cookie(name, "1", {})


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nb", "grün", "\0"])
def test_a_value_that_no_cookie_can_have_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="plain text"):
        format_cookie("name", value, {})


@pytest.mark.parametrize(
    "attributes",
    [{"colour": "red"}, {"path": "/; Domain=example.org"}, {"domain": "x; HttpOnly"}],
    ids=repr,
)
def test_an_attribute_that_no_cookie_can_have_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="attribute"):
        format_cookie("name", "1", attributes)


def test_a_signature_holds_as_long_as_its_secret_is_among_the_secrets() -> None:
    old, new = "the secret before it", "the secret in use"

    assert unsign([new, old], "n", sign(old, "n", 1)) == 1
    assert unsign(new, "n", sign([new, old], "n", 1)) == 1
    assert unsign(old, "n", sign([new, old], "n", 1)) is None

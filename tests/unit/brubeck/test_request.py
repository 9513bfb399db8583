import pytest

from brubeck.errors import BadRequest
from brubeck.forms import MAX_FIELDS
from brubeck.request import Request
from brubeck.response import Response
from tests.unit.brubeck.fakes import request


def test_a_request_says_what_mongrel2_said() -> None:
    # Given
    headers = {
        "METHOD": "POST",
        "PATH": "/hello",
        "URI": "/hello?name=World",
        "QUERY": "name=World",
        "VERSION": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "content-type": "text/plain",
    }
    # When
    message = Request(headers, b"body", sender="ident", conn_id="7", request_id="a-1")
    # Then
    assert (message.method, message.path, message.url) == ("POST", "/hello", "/hello?name=World")
    assert (message.url_parts.path, message.url_parts.query) == ("/hello", "name=World")
    assert (message.version, message.remote_addr) == ("HTTP/1.1", "192.0.2.7")
    assert (message.content_type, message.body) == ("text/plain", b"body")
    assert (message.sender, message.conn_id, message.request_id) == ("ident", "7", "a-1")


def test_a_request_without_metadata_is_a_get_of_the_root() -> None:
    message = Request({})
    assert (message.method, message.path, message.url) == ("GET", "/", "/")
    assert (message.version, message.remote_addr, message.content_type) == ("HTTP/1.1", "", "")


def test_a_browser_cannot_overwrite_metadata() -> None:
    forged = {"method": "DELETE", "path": "/forged", "remote_addr": "1.2.3.4", "query": "admin=1"}
    message = request("/real", "GET", forged, REMOTE_ADDR="192.0.2.7")
    assert (message.method, message.path) == ("GET", "/real")
    assert message.remote_addr == "192.0.2.7"
    assert message.arguments == {}


def test_the_address_of_a_browser_behind_a_proxy_is_what_the_proxy_says() -> None:
    assert request(headers={"x-forwarded-for": "192.0.2.7"}).remote_addr == "192.0.2.7"


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("name=World", {"name": ["World"]}),
        ("a=1&a=2&b=3", {"a": ["1", "2"], "b": ["3"]}),
        ("empty=&bare", {"empty": [""], "bare": [""]}),
        ("text=gr%C3%BCn+gras", {"text": ["grün gras"]}),
        ("text=gr\xc3\xbcn", {"text": ["grün"]}),  # as a server reads what a browser did not encode
        ("text=%zz%", {"text": ["%zz%"]}),
        ("text=%ff", {"text": ["\ufffd"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("&&", {}),
    ],
)
def test_a_query_and_its_arguments(query: str, arguments: dict[str, list[str]]) -> None:
    assert request(QUERY=query).arguments == arguments


def test_an_argument_is_the_last_of_its_name_and_stripped_unless_asked_otherwise() -> None:
    message = request(QUERY="a=1&a=+2+")
    assert message.get_argument("a") == "2"
    assert message.get_argument("a", strip=False) == " 2 "
    assert message.get_arguments("a") == ["1", "2"]
    assert message.get_arguments("a", strip=False) == ["1", " 2 "]


def test_an_argument_that_is_missing_is_the_default() -> None:
    assert request().get_argument("a") is None
    assert request().get_argument("a", "default") == "default"
    assert request().get_arguments("a") == []


def test_more_arguments_than_the_limit_are_a_bad_request() -> None:
    assert len(request(QUERY="&".join(["a=1"] * MAX_FIELDS)).arguments["a"]) == MAX_FIELDS
    with pytest.raises(BadRequest, match=str(MAX_FIELDS)):
        _ = request(QUERY="&".join(["a=1"] * (MAX_FIELDS + 1))).arguments


def test_a_url_that_cannot_be_split_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        _ = request(URI="//[x").url_parts


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [
        ("HTTP/1.1", None, False),
        ("HTTP/1.1", "keep-alive", False),
        ("HTTP/1.1", "close", True),
        ("HTTP/1.1", "Close", True),
        ("HTTP/1.1", "Keep-Alive, CLOSE", True),
        ("HTTP/1.1", "closed", False),
        ("HTTP/1.0", None, True),
        ("HTTP/1.0", "close", True),
        ("HTTP/1.0", "Keep-Alive", False),
        ("HTTP/1.0", "te, keep-alive", False),
    ],
)
def test_whether_the_connection_ends_with_the_answer(
    version: str, connection: str | None, closes: bool
) -> None:
    headers = {} if connection is None else {"connection": connection}
    assert request(VERSION=version, headers=headers).should_close() is closes


def test_a_plain_error_reply_needs_no_handler() -> None:
    assert request().error_reply(503) == Response(
        503,
        "Service Unavailable",
        {"Content-Type": "text/plain; charset=utf-8"},
        b"503 Service Unavailable\n",
    )


def test_no_secret_of_a_browser_is_in_a_requests_repr() -> None:
    # Given
    headers = {"METHOD": "GET", "PATH": "/", "QUERY": "token=secret"}
    headers |= {"cookie": "session=secret", "authorization": "Bearer secret"}
    # Then
    assert "secret" not in repr(Request(headers, b"password=secret", request_id="a-1"))

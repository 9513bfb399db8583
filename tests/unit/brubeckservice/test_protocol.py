"""What instances say to each other, messages and bytes.

`golden/protocol/valid` holds frames and, beside each, the messages in it; `invalid` holds frames
with a message that must be refused, why, and the messages that must be read all the same.
Adding a case is adding two files.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brubeckservice import protocol
from brubeckservice.protocol import (
    Cancel,
    Goodbye,
    Hello,
    Ping,
    Pong,
    Progress,
    Refused,
    ServiceRequest,
    ServiceResponse,
    Welcome,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "protocol"
VALID = sorted((GOLDEN / "valid").glob("*.frame"))
INVALID = sorted((GOLDEN / "invalid").glob("*.frame"))

KINDS: dict[str, Any] = {
    "hello": Hello,
    "welcome": Welcome,
    "goodbye": Goodbye,
    "ping": Ping,
    "pong": Pong,
    "call": ServiceRequest,
    "response": ServiceResponse,
    "refused": Refused,
    "cancel": Cancel,
    "progress": Progress,
}

Message = protocol.FromCaller | protocol.FromService
Read = Callable[[bytes], tuple[list[Any], list[str]]]
READ: dict[str, Read] = {
    "caller": protocol.read_from_caller,
    "service": protocol.read_from_service,
}


def described(frame: Path) -> dict[str, Any]:
    """What the file beside a frame says about it."""
    description: dict[str, Any] = json.loads(frame.with_suffix(".json").read_text())
    return description


def messages_of(description: dict[str, Any]) -> list[Any]:
    return [
        KINDS[kind](**fields)
        for message in description["messages"]
        for kind, fields in message.items()
    ]


def name(frame: Path) -> str:
    return frame.stem


def call(**fields: Any) -> ServiceRequest:
    whole: dict[str, Any] = {"id": 1, "budget": 1000, "path": "/p"} | fields
    return ServiceRequest(**whole)


def response(**fields: Any) -> ServiceResponse:
    whole: dict[str, Any] = {"id": 1, "status_code": 200, "status_msg": "OK", "path": "/p"} | fields
    return ServiceResponse(**whole)


@pytest.mark.parametrize("frame", VALID, ids=name)
def test_a_valid_frame_says_what_stands_beside_it(frame: Path) -> None:
    description = described(frame)

    messages, faults = READ[description["from"]](frame.read_bytes())

    assert messages == messages_of(description)
    assert faults == []


@pytest.mark.parametrize(
    "frame", [frame for frame in VALID if described(frame)["written_by_us"]], ids=name
)
def test_what_we_write_is_the_golden_frame_to_the_byte(frame: Path) -> None:
    messages = messages_of(described(frame))

    assert protocol.join([protocol.encode(message) for message in messages]) == frame.read_bytes()


@pytest.mark.parametrize("frame", INVALID, ids=name)
def test_what_makes_no_sense_is_refused_and_its_neighbours_survive(frame: Path) -> None:
    description = described(frame)

    messages, faults = READ[description["from"]](frame.read_bytes())

    assert messages == messages_of(description)
    assert len(faults) == 1
    assert description["says"] in faults[0]


def test_every_kind_has_a_golden_frame_that_we_write() -> None:
    written = {
        kind
        for frame in VALID
        if described(frame)["written_by_us"]
        for message in described(frame)["messages"]
        for kind in message
    }

    assert written == KINDS.keys()


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_nesting_without_end_is_refused_and_harms_nothing(depth: int) -> None:
    nested = b'["call",1,1000,"/p","request",{},{"a":' + b"[" * depth + b"]" * depth + b"}]"

    messages, _ = protocol.read_from_caller(protocol.join([nested]))  # no RecursionError

    assert len(messages) <= 1
    assert protocol.read_from_caller(b'[["ping",1]]') == ([Ping(1)], [])


def test_a_frame_past_its_bound_is_refused_unread() -> None:
    frame = b'[["ping",1]' + b" " * protocol.MAX_FRAME_BYTES + b"]"

    messages, faults = protocol.read_from_caller(frame)

    assert messages == []
    assert faults == [f"a frame of {len(frame)} bytes"]


def test_a_frame_at_its_bound_is_read() -> None:
    frame = b'[["ping",1]]'.ljust(protocol.MAX_FRAME_BYTES)

    assert protocol.read_from_caller(frame) == ([Ping(1)], [])


texts = st.text(max_size=50)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(texts, values, max_size=4),
    max_leaves=10,
)
payloads = st.dictionaries(texts, json_values, max_size=4)
ids = st.integers(0, protocol.MAX_ID)
calls = st.builds(
    ServiceRequest,
    ids,
    st.integers(0, protocol.MAX_BUDGET),
    texts,
    texts,
    payloads,
    payloads,
    texts,
    texts,
)
responses = st.builds(
    ServiceResponse, ids, st.integers(100, 599), texts, texts, texts, payloads, payloads, texts
)


@given(st.lists(calls | st.builds(Ping, ids) | st.builds(Hello, st.lists(st.integers(0, 9)))))
def test_a_service_reads_what_a_caller_writes(messages: list[Any]) -> None:
    frame = protocol.join([protocol.encode(message) for message in messages])

    assert protocol.read_from_caller(frame) == (messages, [])


@given(
    st.lists(responses | st.builds(Pong, ids, ids, st.booleans()) | st.builds(Refused, ids, texts))
)
def test_a_caller_reads_what_a_service_writes(messages: list[Any]) -> None:
    frame = protocol.join([protocol.encode(message) for message in messages])

    assert protocol.read_from_service(frame) == (messages, [])


@given(st.binary() | json_values.map(msgspec.json.encode))
def test_no_bytes_make_a_reader_fail(frame: bytes) -> None:
    for read in READ.values():
        messages, faults = read(frame)
        assert isinstance(messages, list)
        assert isinstance(faults, list)


def test_lengths_count_bytes_and_spaces_separate_nothing() -> None:
    message = call(path="/a b  c", body={"text": " 𝄞 = 4 bytes "})

    (read,), _ = protocol.read_from_caller(protocol.join([protocol.encode(message)]))

    assert read == message


@pytest.mark.parametrize(
    "body",
    [
        {"a": object()},
        {"a": 1j},
        {"a": "\ud800"},
        {None: 1},
        {(1, 2): 3},
    ],
    ids=repr,
)
def test_what_has_no_json_form_fails_where_it_is_written(body: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        protocol.encode(call(body=body))


def test_a_payload_that_holds_itself_fails_where_it_is_written() -> None:
    body: dict[str, Any] = {}
    body["itself"] = body

    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        protocol.encode(call(body=body))


@pytest.mark.parametrize(
    "message",
    [
        call(path="/" + "p" * 8000),
        call(path=None),
        call(path=["/p"]),
        call(path=b"/p"),
        call(id=1.0),
        call(budget=10.5),
        response(method=["response"]),
        response(status_msg=b"OK"),
        response(status_code=200.0),
        call(method=5),
        call(budget=protocol.MAX_BUDGET + 1),
        call(id=-1),
        call(body=[]),
        response(status_code=600),
        response(status_code="200"),
        response(status_msg="s" * 1001),
        response(method=None),
    ],
)
def test_what_the_peer_would_leave_out_fails_where_it_is_written(message: Message) -> None:
    with pytest.raises(TypeError, match="not a message"):
        protocol.encode(message)


def test_a_message_past_its_bound_fails_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="more than 1048576"):
        protocol.encode(call(body={"a": "a" * protocol.MAX_MESSAGE_BYTES}))


def test_a_message_of_the_largest_size_fits_into_a_frame() -> None:
    room = protocol.MAX_MESSAGE_BYTES - len(protocol.encode(call(body={"a": ""})))
    message = call(body={"a": "a" * room})

    frame = protocol.join([protocol.encode(message)])

    assert len(protocol.encode(message)) == protocol.MAX_MESSAGE_BYTES
    assert protocol.read_from_caller(frame) == ([message], [])


def test_arguments_and_body_are_one_payload() -> None:
    for message in (call(body={"a": 1}), response(body={"a": 1})):
        assert message.arguments is message.body
        assert message.get_argument("a") == 1
        assert message.get_argument("b") is None
        assert message.get_argument("b", "none") == "none"


def test_messages_share_no_dictionaries() -> None:
    for one, other in ((call(), call()), (response(), response())):
        assert one.headers is not other.headers
        assert one.body is not other.body


def test_an_error_reply_is_about_what_it_replies_to() -> None:
    request = call(id=7, request_id="r-1")

    reply = request.error_reply(404)

    assert reply == ServiceResponse(7, 404, "Not Found", "/p", request_id="r-1")
    assert reply.error_reply(500) == ServiceResponse(
        7, 500, "Internal Server Error", "/p", request_id="r-1"
    )


@pytest.mark.parametrize("of_another", [{"id": 1}, {"path": "/q"}, {"request_id": "r-1"}], ids=repr)
def test_an_answer_is_about_its_request_whatever_call_it_was_kept_from(
    of_another: dict[str, Any],
) -> None:
    request = call(id=7, path="/p", request_id="r-7")
    kept = response(**{"id": 7, "path": "/p", "request_id": "r-7", "body": {"a": 1}} | of_another)

    answer = protocol.answer_to(request, kept)

    assert (answer.id, answer.path, answer.request_id) == (7, "/p", "r-7")
    assert answer.body == {"a": 1}


def test_the_methods_are_eight() -> None:
    assert sorted(protocol.METHODS) == [
        "connect", "delete", "get", "options", "post", "put", "request", "response",
    ]  # fmt: skip

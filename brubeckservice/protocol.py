"""What instances say to each other: messages to bytes and back, nothing else.

A frame is a JSON array of the messages that came up together for one peer; a message is an
array whose first element is its kind. Kinds and trailing elements that
this version does not know are ignored, and a message that makes no sense is left out without
harm to its neighbours. `docs/protocol.md` is the specification, `tests/unit/golden/` its
examples. The two messages people handle, ServiceRequest and ServiceResponse, are the very
objects that travel.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct, convert
from msgspec.structs import astuple, replace

from brubeck.errors import phrase_of

VERSION = 1
MAX_MESSAGE_BYTES = 1024 * 1024
"""An encoded message may not be longer."""
MAX_BATCH_BYTES = 32 * 1024
"""A frame takes no further message past this length."""
MAX_FRAME_BYTES = MAX_MESSAGE_BYTES + MAX_BATCH_BYTES
MAX_ID = 2**53 - 1
MAX_TEXT = 1000
MAX_PATH = 8000
"""Characters."""
MAX_BUDGET = 24 * 60 * 60 * 1000
"""Milliseconds."""
METHODS = frozenset(("get", "post", "put", "delete", "options", "connect", "request", "response"))

CallId = Annotated[int, Meta(ge=0, le=MAX_ID)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_BUDGET)]
Clock = Annotated[int, Meta(ge=0, le=MAX_ID)]
"""Milliseconds since the caller said hello, by its own clock; 0 where it does not say."""
Status = Annotated[int, Meta(ge=100, le=599)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Path = Annotated[str, Meta(max_length=MAX_PATH)]


class Hello(Struct, frozen=True, array_like=True, tag="hello"):
    """The caller's first message: the protocol versions it speaks, and its name."""

    versions: list[int]
    name: Text = ""


class Welcome(Struct, frozen=True, array_like=True, tag="welcome"):
    """The answer to Hello: the version to speak, who answers, and how many calls it takes.

    `software` is the name and version of what answers, for people.
    """

    version: int
    instance: Text
    limit: Annotated[int, Meta(ge=1)]
    software: Text = ""


class Goodbye(Struct, frozen=True, array_like=True, tag="goodbye"):
    """The service ends the session, or does not begin one: if `full`, for want of room."""

    reason: Text
    full: bool = False


class Ping(Struct, frozen=True, array_like=True, tag="ping"):
    """Is somebody there? The number comes back. `sent` is as in ServiceRequest."""

    number: CallId
    sent: Clock = 0


class Pong(Struct, frozen=True, array_like=True, tag="pong"):
    """The answer to Ping: calls in hand, and whether the service is about to stop.

    A service that begins to stop says so at once, unasked, with the number 0.
    """

    number: CallId
    load: Annotated[int, Meta(ge=0)] = 0
    draining: bool = False


class Cancel(Struct, frozen=True, array_like=True, tag="cancel"):
    """Nobody waits for the answer to this call any more."""

    id: CallId


class Progress(Struct, frozen=True, array_like=True, tag="progress"):
    """How far a call has come that is not answered yet: a fraction, and a note for people."""

    id: CallId
    fraction: Annotated[float, Meta(ge=0, le=1)]
    note: Text = ""


class Refused(Struct, frozen=True, array_like=True, tag="refused"):
    """A call that was not executed; `reason` (stopping, overloaded, late) is for people."""

    id: CallId
    reason: Text


class ServiceResponse(Struct, frozen=True, array_like=True, tag="response"):
    """What a handler answered. `body` is its payload; `path` is the request's."""

    id: CallId
    status_code: Status
    status_msg: Text
    path: Path
    method: Text = "response"
    headers: dict[str, Any] = {}
    body: dict[str, Any] = {}
    request_id: Text = ""

    transport: ClassVar[str] = "service"
    reply_type: ClassVar[type] = object  # a response handler may return what it likes

    @property
    def arguments(self) -> dict[str, Any]:
        """The payload: the same as `body`."""
        return self.body

    def get_argument(self, name: str, default: Any = None) -> Any:
        """A value of the payload."""
        return self.body.get(name, default)

    def error_reply(self, status_code: int) -> "ServiceResponse":
        """What a failed response handler leaves as its result."""
        return _error_response(self, status_code)


class ServiceRequest(Struct, frozen=True, array_like=True, tag="call"):
    """What a caller asks for. `body` is the payload: JSON values by name.

    `budget` is the time left, in milliseconds; time spent waiting to be read is taken off it.
    `request_id` and `traceparent` (W3C Trace Context) belong to what caused the call, for logs
    and traces. `id`, `budget`, `sent` and `wants_progress` are set when the request is sent.
    """

    id: CallId
    budget: Milliseconds
    path: Path
    method: Text = "request"
    headers: dict[str, Any] = {}
    body: dict[str, Any] = {}
    request_id: Text = ""
    traceparent: Text = ""
    sent: Clock = 0
    wants_progress: bool = False

    transport: ClassVar[str] = "service"
    reply_type: ClassVar[type] = ServiceResponse

    @property
    def arguments(self) -> dict[str, Any]:
        """The payload: the same as `body`."""
        return self.body

    def get_argument(self, name: str, default: Any = None) -> Any:
        """A value of the payload."""
        return self.body.get(name, default)

    def error_reply(self, status_code: int) -> ServiceResponse:
        """The answer where no handler can make one."""
        return _error_response(self, status_code)


FromCaller = Hello | Ping | ServiceRequest | Cancel
FromService = Welcome | Goodbye | Pong | Progress | Refused | ServiceResponse

M = TypeVar("M")

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Reader(Generic[M]):
    """Reads the frames of one side."""

    def __init__(self, kinds: Any) -> None:
        self._whole = msgspec.json.Decoder(list[kinds])
        self._single = msgspec.json.Decoder(kinds)

    def read(self, frame: bytes) -> tuple[list[M], list[str]]:
        """The messages of a frame in their order, and what is wrong with the others.

        Messages of unknown kinds are in neither list.
        """
        if len(frame) > MAX_FRAME_BYTES:
            return [], [f"a frame of {len(frame)} bytes"]
        try:
            return self._whole.decode(frame), []
        except _UNREADABLE:
            return self._one_by_one(frame)

    def _one_by_one(self, frame: bytes) -> tuple[list[M], list[str]]:
        messages: list[M] = []
        faults: list[str] = []
        try:
            parts = _PARTS.decode(frame)
        except _UNREADABLE as error:
            return [], [f"a frame that is no JSON array: {error}"]
        for part in parts:
            try:
                messages.append(self._single.decode(part))
            except _UNREADABLE as error:
                if not _is_of_unknown_kind(part):
                    faults.append(str(error))
        return messages, faults


_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(str)
_KINDS = frozenset(
    kind.__struct_config__.tag for kind in (*FromCaller.__args__, *FromService.__args__)
)

read_from_caller = Reader[FromCaller](FromCaller).read
read_from_service = Reader[FromService](FromService).read

_encode = msgspec.json.Encoder().encode


def encode(message: FromCaller | FromService) -> bytes:
    """The bytes of one message, to be joined to a frame.

    Raises:
        TypeError: if something in it has no JSON form, or is not what the protocol allows.
        ValueError: if it is longer than `MAX_MESSAGE_BYTES`.
    """
    if isinstance(message, ServiceRequest | ServiceResponse):
        _check(message)
    try:
        data = _encode(message)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise TypeError(f"cannot be sent as JSON: {error}") from error
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {len(data)} bytes, more than {MAX_MESSAGE_BYTES}")
    return data


def join(messages: Sequence[bytes]) -> bytes:
    """One frame of several encoded messages."""
    return b"[" + b",".join(messages) + b"]"


_what_it_is_about = attrgetter("id", "path", "request_id")


def answer_to(request: ServiceRequest, response: ServiceResponse) -> ServiceResponse:
    """The response, as one to this request.

    A handler may have kept it from another call, or hand on another service's.
    """
    if _what_it_is_about(response) == _what_it_is_about(request):
        return response
    return replace(response, id=request.id, path=request.path, request_id=request.request_id)


def _check(message: ServiceRequest | ServiceResponse) -> None:
    """Refuse what the peer's reader would leave out: whoever waits would wait in vain.

    Structs are not checked when they are made. That the payload is JSON, its encoding shows.
    """
    kind = type(message)
    try:
        without_payload = astuple(replace(message, headers={}, body={}))
        convert((kind.__struct_config__.tag, *without_payload), kind)
    except msgspec.ValidationError as error:
        raise TypeError(f"not a message: {error}") from None
    if not (type(message.headers) is type(message.body) is dict):
        raise TypeError("not a message: headers and body are dictionaries")


def _is_of_unknown_kind(part: msgspec.Raw) -> bool:
    try:
        elements = _PARTS.decode(part)
        return bool(elements) and _KIND.decode(elements[0]) not in _KINDS
    except _UNREADABLE:
        return False


def _error_response(message: ServiceRequest | ServiceResponse, status_code: int) -> ServiceResponse:
    return ServiceResponse(
        message.id, status_code, phrase_of(status_code), message.path, request_id=message.request_id
    )

"""What a later version of the library may say to this one, and this one must bear."""

from brubeckservice import protocol, session
from brubeckservice.protocol import Hello


def speak() -> None:
    """From now on: one more protocol version, one more kind, one more element to each message."""
    encode, join = protocol.encode, protocol.join
    protocol.encode = lambda message: encode(message)[:-1] + b',{"new":1}]'
    protocol.join = lambda messages: join([*messages, b'["news",1]'])
    vars(session)["Hello"] = _with_a_later_one


def _with_a_later_one(versions: list[int]) -> Hello:
    return Hello([protocol.VERSION + 1, *versions])

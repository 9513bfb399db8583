"""Peers that say exactly what a test tells them to: the protocol without our own code for it."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import zmq
from gevent.queue import Queue

from brubeck.sockets import LoopSocket
from brubeckservice.keys import KeyPair, Keys, derive_keys
from tests.integration.calls.instances import PASSPHRASE, free_address

Message = list[Any]
"""A message as JSON has it: `["ping", 1]`."""

KEYS = derive_keys(PASSPHRASE)


def frame_of(*messages: Message) -> bytes:
    """One frame."""
    return json.dumps(messages).encode()


def own_keys() -> KeyPair:
    """A key pair nobody knows."""
    return KeyPair(*zmq.curve_keypair())


def keyed(socket: "zmq.Socket[bytes]", keys: Keys) -> "zmq.Socket[bytes]":
    """The socket of a caller that knows these keys."""
    socket.set(zmq.CURVE_SERVERKEY, keys.service.public)
    socket.set(zmq.CURVE_PUBLICKEY, keys.caller.public)
    socket.set(zmq.CURVE_SECRETKEY, keys.caller.secret)
    return socket


class RawCaller:
    """A DEALER; without `keys` it has no security at all, without `identity` a new one each."""

    def __init__(self, addr: str, keys: Keys | None = KEYS, *, identity: bytes = b"") -> None:
        self._context = zmq.Context()
        socket = self._context.socket(zmq.DEALER)
        if keys is not None:
            keyed(socket, keys)
        if identity:
            socket.set(zmq.ROUTING_ID, identity)
        self._heard: Queue[Message] = Queue()
        self._socket = LoopSocket(socket, self._on_frames)
        socket.connect(addr)

    def say(self, *messages: Message) -> None:
        """Send messages in one frame."""
        self.send(frame_of(*messages))

    def send(self, *frames: bytes) -> None:
        """Send one ZeroMQ message of any frames, as soon as there is room for it."""
        with gevent.Timeout(10):
            while not self._socket.send(frames):
                gevent.sleep(0.005)

    def greet(self) -> Message:
        """Begin a session; the welcome."""
        self.say(["hello", [1], "raw"])
        return self.hear("welcome")

    def hear(self, kind: str, *, seconds: float = 5.0) -> Message:
        """The next message of a kind; others are passed over.

        Raises:
            AssertionError: if none comes in time.
        """
        with gevent.Timeout(seconds, AssertionError(f"heard no {kind} in {seconds:g} s")):
            while True:
                message = self._heard.get()
                if message[0] == kind:
                    return message

    def heard_so_far(self) -> list[Message]:
        """All that came and was not asked for yet."""
        return [self._heard.get_nowait() for _ in range(self._heard.qsize())]

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
        self._context.term()

    def _on_frames(self, frames: list[bytes]) -> None:
        for message in json.loads(b"".join(frames)):
            self._heard.put(message)


Answer = Callable[[Message], Sequence[Message]]


def an_echo(call: Message) -> list[Message]:
    """The response that a good service gives."""
    _, id_, _, path, _, _, body, *_ = call
    return [["response", id_, 200, "OK", path, "response", {}, body]]


class RawService:
    """A ROUTER that welcomes everybody and answers a call with the messages `answer` gives."""

    def __init__(
        self,
        answer: Answer = an_echo,
        *,
        addr: str | None = None,
        greeting: Message | None = None,
        keys: Keys | None = KEYS,
    ) -> None:
        self.addr = addr or free_address()
        self.answer = answer
        self.calls: list[Message] = []
        self._greeting = greeting or ["welcome", 1, "raw", 1000]
        self._caller = b""
        self._context = zmq.Context()
        socket = self._context.socket(zmq.ROUTER)
        if keys is not None:
            socket.set(zmq.CURVE_SERVER, 1)
            socket.set(zmq.CURVE_SECRETKEY, keys.service.secret)
        socket.bind(self.addr)
        self._socket = LoopSocket(socket, self._on_frames)

    def say(self, *messages: Message) -> None:
        """Tell the last caller something in one frame."""
        self.send(frame_of(*messages))

    def send(self, *frames: bytes) -> None:
        """Send the last caller one ZeroMQ message of any frames."""
        with gevent.Timeout(10):
            while not self._socket.send([self._caller, *frames]):
                gevent.sleep(0.005)

    def close(self) -> None:
        """End all connections."""
        self._socket.close()
        self._context.term()

    def _on_frames(self, frames: list[bytes]) -> None:
        self._caller, frame = frames
        for message in json.loads(frame):
            answers = list(self._answers(message))
            if answers:
                self._socket.send([self._caller, frame_of(*answers)])

    def _answers(self, message: Message) -> Sequence[Message]:
        match message[0]:
            case "hello":
                return [self._greeting]
            case "ping":
                return [["pong", message[1], 0, False]]
            case "call":
                self.calls.append(message)
                return self.answer(message)
        return []

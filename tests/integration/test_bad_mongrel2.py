"""Whatever the peer in Mongrel2's place says, the next good request is answered."""

import json
import random
from collections.abc import Callable, Iterator

import pytest
import zmq

from tests.integration.mutations import MUTATIONS, mutated
from tests.integration.programs import Program
from tests.integration.web import COOKIE_SECRET, WEB_APP

IDENT = b"ident-of-this-start"


class Impostor:
    """Both sockets of Mongrel2, to be told what to say."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.requests = self._context.socket(zmq.PUSH)
        self.answers = self._context.socket(zmq.XSUB)
        self.pull_addr, self.pub_addr = (
            f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
            for socket in (self.requests, self.answers)
        )

    def subscribe(self, topic: bytes = IDENT) -> None:
        """Listen to the answers that begin so, as Mongrel2 does to those for it."""
        self.answers.send(b"\x01" + topic)

    def say(self, *frames: bytes) -> None:
        """Take what answers have come, and send what should be a request."""
        while self.answers.poll(0):
            self.answers.recv()
        assert self.requests.poll(10_000, zmq.POLLOUT), "nobody reads"
        self.requests.send_multipart(frames)

    def is_answered(self, conn_id: int) -> bool:
        """Whether a good request gets the answer to it."""
        self.say(request(conn_id))
        target = b"%s %d:%d, " % (IDENT, len(str(conn_id)), conn_id)
        while self.answers.poll(10_000):
            answer = self.answers.recv()
            if answer.startswith(target):
                return answer.endswith(b"\r\n\r\ngood")
        return False

    def close(self) -> None:
        """Be gone."""
        self._context.destroy(linger=0)


def request(conn_id: int, **headers: object) -> bytes:
    """What Mongrel2 says about a browser's request."""
    said = {"METHOD": "GET", "PATH": "/echo", "QUERY": "say=good", "VERSION": "HTTP/1.1"} | headers
    return message(conn_id, "/echo", json.dumps(said).encode())


def message(conn_id: int, path: str, headers: bytes, body: bytes = b"") -> bytes:
    return b"%s %d %s %d:%s,%d:%s," % (
        IDENT,
        conn_id,
        path.encode(),
        len(headers),
        headers,
        len(body),
        body,
    )


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    made = Impostor()
    yield made
    made.close()


@pytest.fixture
def app(impostor: Impostor, start_python: Callable[..., Program]) -> Program:
    """An application that takes the impostor for Mongrel2."""
    app = start_python(
        WEB_APP,
        PULL_ADDR=impostor.pull_addr,
        PUB_ADDR=impostor.pub_addr,
        COOKIE_SECRET=COOKIE_SECRET,
    )
    impostor.subscribe()
    app.wait_until(
        lambda: impostor.answers.poll(0) or "Mongrel2 listens" in app.said,  # ZeroMQ needs the poll
        "it takes requests",
    )
    return app


NONSENSE: dict[str, list[bytes]] = {
    "an empty frame": [b""],
    "empty frames": [b"", b"", b""],
    "a thousand frames": [request(1)] * 1000,
    "random bytes": [random.Random(20130101).randbytes(1000)],
    "no connection": [IDENT + b" x /echo 2:{},0:,"],
    "a connection beyond all numbers": [IDENT + b" " + b"9" * 100_000 + b" /echo 2:{},0:,"],
    "an ident that nobody could answer": [b"\xff\n 1 /echo 2:{},0:,"],
    "a length beyond all numbers": [IDENT + b" 1 /echo " + b"9" * 100_000 + b":{},0:,"],
    "a negative length": [IDENT + b" 1 /echo -1:{},0:,"],
    "headers that are no object": [message(1, "/echo", b"[1]")],
    "headers that are no text": [message(1, "/echo", b'{"\xff": "\xfe"}')],
    "a header that is an object": [request(1, x={"y": 1})],
    "a method that is a number": [request(1, METHOD=5)],
    "a path that is nothing": [request(1, PATH=None)],
    "headers nested without end": [message(1, "/echo", b'{"x":' + b"[" * 100_000)],
    "a leave of nobody": [message(77, "@*", b'{"METHOD":"JSON"}', b'{"type":"disconnect"}')],
    "a leave that is cut off": [message(77, "@*", b'{"METHOD":"JSON"}', b'{"ty')],
    "ten megabytes": [message(1, "/echo", b'{"METHOD":"GET","PATH":"/echo"}', bytes(10_000_000))],
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_an_application_drops_nonsense_and_answers_the_next_good_request(
    app: Program, impostor: Impostor, kind: str
) -> None:
    impostor.say(*NONSENSE[kind])

    assert impostor.is_answered(1_000_001)
    assert "Traceback" not in app.said


def test_an_application_takes_nonsense_for_no_subscription(
    app: Program, impostor: Impostor
) -> None:
    for odd in (b"", b"\x01", b"\x02x", b"\xff" * 1000, b"\x00nobody", b"\x01" + b"x" * 100_000):
        impostor.answers.send(odd)

    assert impostor.is_answered(1_000_001)
    assert "Traceback" not in app.said


def test_an_application_survives_thousands_of_random_changes(
    app: Program, impostor: Impostor
) -> None:
    choose = random.Random(20130101)
    good = [
        request(1),
        request(2, METHOD="HEAD", cookie="a=1; b=2", x=["1", "2"]),
        message(3, "/echo", b"22:6:METHOD,3:GET,4:PATH,5:/echo,}", b"a body"),
        message(1, "@*", b'{"METHOD":"JSON"}', b'{"type":"disconnect"}'),
    ]

    for _ in range(MUTATIONS):
        impostor.say(mutated(choose, choose.choice(good)))

    assert impostor.is_answered(1_000_001)
    assert "Traceback" not in app.said

"""A ZeroMQ socket served from the event loop; its peer is in the same process."""

from collections.abc import Callable, Iterator

import gevent
import pytest
import zmq
from gevent.event import Event
from gevent.queue import Queue

from brubeck.sockets import LoopSocket

Frames = list[bytes]
Connect = Callable[..., LoopSocket]


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def peer(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.bind("inproc://peer")
    return socket


@pytest.fixture
def connect(
    context: zmq.Context[zmq.Socket[bytes]],
    peer: zmq.Socket[bytes],  # is there first
) -> Iterator[Connect]:
    """Makes the socket of the test."""
    made: list[LoopSocket] = []

    def connected(on_message: Callable[[Frames], None]) -> LoopSocket:
        socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.SNDHWM, 1)
        socket.connect("inproc://peer")
        made.append(LoopSocket(socket, on_message))
        return made[-1]

    yield connected
    for socket in made:
        socket.close()


@pytest.fixture
def received() -> "Queue[Frames]":
    return Queue()


def test_messages_arrive_whole_and_in_their_order(
    connect: Connect, peer: zmq.Socket[bytes], received: "Queue[Frames]"
) -> None:
    connect(received.put)
    for number in range(3):
        peer.send_multipart([b"frame", b"%d" % number, b""])
    assert [received.get(timeout=10) for _ in range(3)] == [
        [b"frame", b"0", b""],
        [b"frame", b"1", b""],
        [b"frame", b"2", b""],
    ]


def test_a_message_that_was_there_before_is_read(
    connect: Connect, peer: zmq.Socket[bytes], received: "Queue[Frames]"
) -> None:
    socket = connect(received.put)
    peer.send(b"early")
    assert received.get(timeout=10) == [b"early"]
    assert not socket.closed


def test_more_messages_than_one_turn_reads_are_read_while_others_get_their_turn(
    connect: Connect, peer: zmq.Socket[bytes], received: "Queue[Frames]"
) -> None:
    # Given a socket that does not look once a second
    connect(received.put)._fallback_timer.stop()
    read_at_my_turn: Queue[int] = Queue()
    for _ in range(900):
        peer.send(b"one of many")
    # When
    received.get(timeout=10)
    gevent.spawn(lambda: read_at_my_turn.put(received.qsize()))
    # Then
    assert read_at_my_turn.get(timeout=10) < 899
    for _ in range(899):
        received.get(timeout=10)


def test_one_bad_message_does_not_end_the_reading_of_others(
    connect: Connect,
    peer: zmq.Socket[bytes],
    received: "Queue[Frames]",
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given
    def on_message(frames: Frames) -> None:
        if frames == [b"bad"]:
            raise ValueError("what is this?")
        received.put(frames)

    connect(on_message)
    # When
    peer.send(b"bad")
    peer.send(b"good")
    # Then
    assert received.get(timeout=10) == [b"good"]
    assert "a message could not be handled" in caplog.text


def test_what_is_sent_arrives(connect: Connect, peer: zmq.Socket[bytes]) -> None:
    assert connect(lambda _: None).send([b"frame", b"another"])
    assert peer.poll(10_000)
    assert peer.recv_multipart(zmq.NOBLOCK) == [b"frame", b"another"]


def test_sending_to_a_full_queue_says_so_and_waits_for_nothing(connect: Connect) -> None:
    socket = connect(lambda _: None)
    assert False in [socket.send([b"one too many"]) for _ in range(10)]


def test_a_message_that_came_while_sending_is_read(
    connect: Connect, peer: zmq.Socket[bytes], received: "Queue[Frames]"
) -> None:
    # Given a socket that does not look once a second
    socket = connect(received.put)
    socket._fallback_timer.stop()
    gevent.idle()
    # When
    peer.send(b"meanwhile")
    socket.send([b"mine"])  # ZeroMQ's descriptor tells of neither after this
    # Then
    assert received.get(timeout=10) == [b"meanwhile"]


def test_a_closed_socket_hears_nothing(
    connect: Connect,
    peer: zmq.Socket[bytes],
    received: "Queue[Frames]",
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given
    socket = connect(received.put)
    peer.send(b"unheard")
    # When
    socket.close()
    socket.close()
    # Then
    assert socket.closed
    gevent.idle()
    assert received.empty()
    assert capsys.readouterr().err == ""


def test_a_message_may_close_the_socket_it_came_by(
    connect: Connect, peer: zmq.Socket[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    heard, closed = [], Event()

    def on_message(frames: Frames) -> None:
        heard.append(frames)
        socket.close()
        closed.set()

    socket = connect(on_message)
    # When
    peer.send(b"the last")
    peer.send(b"unheard")
    # Then
    assert closed.wait(10)
    gevent.idle()
    assert heard == [[b"the last"]]
    assert capsys.readouterr().err == ""

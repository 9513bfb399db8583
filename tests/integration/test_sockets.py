"""How a ZeroMQ context ends: with all that was said, and in time."""

import brubeck.cooperative  # noqa: F401, I001  # as an application is

import gevent
import zmq

from brubeck.sockets import terminate
from tests.waiting import eventually


def test_a_context_ends_when_what_its_sockets_hold_is_sent() -> None:
    receiving, sending = zmq.Context(), zmq.Context()
    receiver = receiving.socket(zmq.PULL)
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    sender = sending.socket(zmq.PUSH)
    sender.connect(f"tcp://127.0.0.1:{port}")
    for _ in range(100):
        sender.send(b"x" * 10_000)

    sender.close(linger=1000)
    terminate(sending)

    assert sending.closed
    received = 0
    while received < 100 and receiver.poll(5000):
        received += len(receiver.recv_multipart())
    assert received == 100
    receiving.destroy(linger=0)


def test_a_context_that_does_not_end_is_not_waited_for_long() -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)  # open: libzmq would wait for it for ever

    with gevent.Timeout(5):
        terminate(context, seconds=0.1)

    assert not context.closed
    socket.close()
    eventually(lambda: context.closed, "it ends after all", seconds=5)

"""How ZeroMQ contexts and sockets end: with all that was said, and in time."""

import brubeck.cooperative  # noqa: F401, I001  # as an application is

import socket

import gevent
import pytest
import zmq
from gevent import monkey

from brubeck import sockets
from brubeck.sockets import Inlet, terminate
from tests.waiting import eventually


native_sleep = monkey.get_original("time", "sleep")


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


def test_an_inlet_that_finishes_gets_all_that_was_sent_to_it_and_others_get_the_rest() -> None:
    receiving, sending = zmq.Context(), zmq.Context()
    sender = sending.socket(zmq.PUSH)
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    received: list[bytes] = []

    def inlet() -> Inlet:
        socket = receiving.socket(zmq.PULL)
        socket.set(zmq.HEARTBEAT_IVL, 20)  # many are written after the end
        socket.set(zmq.HEARTBEAT_TIMEOUT, 10_000)  # else 20 ms too: a busy machine would cut
        made = Inlet(socket, received.extend)
        socket.connect(f"tcp://127.0.0.1:{port}")
        return made

    stays, inlets = inlet(), [inlet() for _ in range(10)]
    gevent.sleep(0.5)  # all of them are connected
    for finishing in inlets:
        for _ in range(200):
            sender.send(b"what has left the sender and was not read")
        native_sleep(0.02)  # the event loop, too, stands still meanwhile
        finishing.finish()
        assert finishing.closed
        # The sender's thread looks once in a millisecond whether a connection has ended. What it
        # gives that one until then is lost: `Inlet.finish` says so.
        gevent.sleep(0.05)

    eventually(lambda: len(received) == 2000, "all that was sent", seconds=5)
    stays.close()
    sending.destroy(linger=0)
    receiving.destroy(linger=0)


def test_an_inlet_finishes_right_behind_a_message_when_it_is_the_turn_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sockets, "PATIENCE", 60.0)
    receiving, sending = zmq.Context(), zmq.Context()
    sender = sending.socket(zmq.PUSH)
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    received: list[bytes] = []
    pull = receiving.socket(zmq.PULL)
    inlet = Inlet(pull, received.extend)
    pull.connect(f"tcp://127.0.0.1:{port}")
    gevent.sleep(0.3)

    finishing = gevent.spawn(inlet.finish, 60)
    gevent.sleep(0.3)
    assert not inlet.closed
    sender.send(b"the last one")
    finishing.get(timeout=5)

    assert inlet.closed
    assert received == [b"the last one"]
    sending.destroy(linger=0)
    receiving.destroy(linger=0)


def test_an_inlet_whose_peer_does_not_react_finishes_all_the_same() -> None:
    context = zmq.Context()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pull = context.socket(zmq.PULL)
        inlet = Inlet(pull, lambda _: None)
        pull.connect(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        connection, _ = silent.accept()
        with connection, gevent.Timeout(5):
            inlet.finish(seconds=0.2)

    assert inlet.closed
    context.destroy(linger=0)

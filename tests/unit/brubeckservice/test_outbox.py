import json
from collections.abc import Iterator

import gevent
import pytest

from brubeckservice import outbox, protocol
from brubeckservice.outbox import Outbox


class Peer:
    """Takes frames while it has room for them."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.room = 1_000_000

    def take(self, frame: bytes) -> bool:
        if len(self.frames) >= self.room:
            return False
        self.frames.append(frame)
        return True

    @property
    def messages(self) -> list[object]:
        return [message for frame in self.frames for message in json.loads(frame)]


def a_turn_of_the_event_loop() -> None:
    gevent.sleep(0)


def numbered(count: int, size: int = 10) -> Iterator[bytes]:
    return (b'["%0*d"]' % (size, number) for number in range(count))


def numbers(count: int, size: int = 10) -> list[list[str]]:
    return [[f"{number:0{size}}"] for number in range(count)]


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def box(peer: Peer) -> Outbox:
    return Outbox(peer.take)


def test_one_turn_of_the_event_loop_is_one_frame(peer: Peer, box: Outbox) -> None:
    for message in numbered(3):
        assert box.append(message)
    assert peer.frames == []

    a_turn_of_the_event_loop()

    assert len(peer.frames) == 1
    assert peer.messages == numbers(3)


def test_the_next_turn_is_the_next_frame(peer: Peer, box: Outbox) -> None:
    for message in numbered(2):
        box.append(message)
        a_turn_of_the_event_loop()

    assert len(peer.frames) == 2


def test_a_frame_that_is_long_enough_leaves_before_the_turn_is_over(
    peer: Peer, box: Outbox
) -> None:
    for message in numbered(12, size=1000):
        box.append(message)

    assert len(peer.frames) == 2  # five messages each
    a_turn_of_the_event_loop()
    assert len(peer.frames) == 3
    assert peer.messages == numbers(12, size=1000)


def test_what_waited_for_a_peer_goes_in_frames_that_take_no_more_past_their_length(
    peer: Peer, box: Outbox
) -> None:
    peer.room = 0
    for message in numbered(100, size=1000):
        box.append(message)

    peer.room = 100
    box.flush()

    assert len(peer.frames) == 4  # 33 messages each, and the last one
    assert peer.messages == numbers(100, size=1000)


def test_a_peer_that_has_no_room_is_not_asked_for_each_message() -> None:
    asked: list[bytes] = []

    def refuse(frame: bytes) -> bool:
        asked.append(frame)
        return False

    box = Outbox(refuse)
    for message in numbered(100, size=1000):
        box.append(message)

    assert len(asked) == 1
    assert box.bytes == 100 * len(next(numbered(1, size=1000)))


def test_no_frame_is_longer_than_a_reader_takes(peer: Peer, box: Outbox) -> None:
    largest = b'"' + b"a" * (protocol.MAX_MESSAGE_BYTES - 2) + b'"'
    almost_a_batch = b'"' + b"b" * (protocol.MAX_BATCH_BYTES - 3) + b'"'

    for message in (almost_a_batch, largest, largest, b"1", almost_a_batch):
        box.append(message)
    a_turn_of_the_event_loop()

    assert max(map(len, peer.frames)) <= protocol.MAX_FRAME_BYTES
    assert len(peer.messages) == 5


def test_what_a_peer_does_not_take_is_said_later_and_in_order(peer: Peer, box: Outbox) -> None:
    peer.room = 0
    for message in numbered(3):
        box.append(message)
    a_turn_of_the_event_loop()
    assert peer.frames == []

    peer.room = 100
    box.flush()

    assert peer.messages == numbers(3)


def test_a_peer_that_has_room_again_is_told_without_being_asked(peer: Peer, box: Outbox) -> None:
    peer.room = 0
    box.append(b"1")
    a_turn_of_the_event_loop()

    peer.room = 1
    with gevent.Timeout(5):
        while not peer.frames:
            gevent.sleep(0.001)

    assert peer.messages == [1]


def test_past_its_bound_it_refuses_and_says_all_it_did_not_refuse(
    peer: Peer, box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_WAITING_BYTES", 20)
    assert box.append(b"1234567890")
    assert box.append(b"1234567890")
    assert not box.append(b"1")

    a_turn_of_the_event_loop()

    assert peer.messages == [1234567890, 1234567890]
    assert box.append(b"1")


def test_one_that_is_cleared_while_it_sends_says_no_more_and_has_all_its_room_again() -> None:
    asked: list[bytes] = []

    def find_that_it_has_gone(frame: bytes) -> bool:
        asked.append(frame)
        sends.clear()
        return True

    sends = Outbox(find_that_it_has_gone)
    sends.stuck = True
    for message in numbered(100, size=1000):
        sends.append(message)
    sends.flush()

    assert len(asked) == 1
    assert (len(sends), sends.bytes) == (0, 0)


def test_nothing_is_said_after_clear(peer: Peer, box: Outbox) -> None:
    box.append(b"1")
    box.clear()
    a_turn_of_the_event_loop()
    assert peer.frames == []

    box.append(b"2")
    a_turn_of_the_event_loop()

    assert peer.messages == [2]

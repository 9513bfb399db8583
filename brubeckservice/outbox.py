"""What is to be said to one peer: one frame per turn of the event loop.

ZeroMQ, CURVE and Python ask their price per frame, so messages that come up in the same turn
travel together. A single message waits for nothing: the frame leaves in this very turn. Nor
do many wait for the last: a frame that is long enough leaves at once, so that the peer works on
it while this process makes the next. Otherwise the two would take turns.
"""

from collections import deque
from collections.abc import Callable

import gevent

from brubeckservice import protocol

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a slow peer, such as a burst of long answers; more `append` refuses."""

MAX_FRAMES_AHEAD = 32
"""Frames that ZeroMQ may take for a peer before it reads them; what follows waits here, bounded in
bytes. ZeroMQ counts frames, of up to 1 MiB each: its own 1,000 would be a gigabyte."""

_FULL_BYTES = 4096
"""A frame of that length leaves before the turn is over."""
_RETRY_SECONDS = 0.01


class Outbox:
    """Collects encoded messages and hands frames to `send`, which says whether it took them."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self._send = send
        self._loop = gevent.get_hub().loop
        self._messages: deque[bytes] = deque()
        self.bytes = 0
        """What waits for the peer."""
        self._scheduled = False
        self.stuck = False
        """Whether the peer does not take, at the moment, what is waiting for it."""

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, message: bytes) -> bool:
        """Say a message; False, and nothing said, if too much is waiting already."""
        if self.bytes + len(message) > MAX_WAITING_BYTES:
            return False
        self._messages.append(message)
        self.bytes += len(message)
        if not self.stuck:
            if self.bytes >= _FULL_BYTES:
                self.flush()
            elif not self._scheduled:
                self._scheduled = True
                self._loop.run_callback(self._on_turn)
        return True

    def flush(self) -> None:
        """Send what is waiting, as far as the peer takes it."""
        self.stuck = False
        while self._messages:
            batch = self._next_batch()
            self.bytes -= sum(map(len, batch))  # before it is sent: `send` may clear all this
            if not self._send(protocol.join(batch)):
                self._put_back(batch)
                return

    def clear(self) -> None:
        """Say nothing of what is waiting."""
        self._messages.clear()
        self.bytes = 0

    def _on_turn(self) -> None:
        self._scheduled = False
        if not self.stuck:
            self.flush()

    def _put_back(self, batch: list[bytes]) -> None:
        self._messages.extendleft(reversed(batch))
        self.bytes += sum(map(len, batch))
        self.stuck = True
        gevent.spawn_later(_RETRY_SECONDS, self.flush)

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        if self.bytes < protocol.MAX_BATCH_BYTES:  # as a rule
            batch.extend(self._messages)
            self._messages.clear()
            return batch
        size = 0
        while self._messages and size < protocol.MAX_BATCH_BYTES:
            size += len(self._messages[0])
            if batch and size > protocol.MAX_FRAME_BYTES - len(batch) - 2:
                break
            batch.append(self._messages.popleft())
        return batch

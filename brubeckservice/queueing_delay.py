"""How long messages lay in queues before they were read, though the clocks at both ends differ.

The time from sending to reading, each by its own clock, is the difference between the clocks and
what the message took. Its smallest value is what a message takes that nothing holds up; what
another one takes beyond that, it waited (the queueing delay of LEDBAT, RFC 6817).
"""

DRIFT = 0.001
"""How much faster than the other, at most, one of the clocks goes."""


class QueueingDelay:
    """The delays in one session, which began `now` by the reader's clock and at 0 by the sender's.

    All times are seconds.
    """

    def __init__(self, now: float) -> None:
        self._smallest = now
        self._last_sent = 0.0

    def of(self, sent: float, now: float) -> float:
        """How long a message waited that was `sent` by the sender's clock and is read `now`."""
        difference = now - sent
        allowance = DRIFT * (sent - self._last_sent)
        self._smallest = min(difference, self._smallest + allowance)
        self._last_sent = sent
        return difference - self._smallest

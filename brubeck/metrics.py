"""What a process counts and measures for `/metrics`.

A handled message costs one method call: look up the series of its labels, find the bucket, add.
What is only looked at when somebody asks, such as the length of a queue, its owner says then: see
`Reading`. Labels are patterns, statuses and names from the program, never a path or an id, so
that nobody outside can make series. Knows neither sockets nor Prometheus' format.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from brubeck.request import METHODS

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: the upper ends of the buckets, each included; there is one more for what is longer."""

UNMATCHED = "unmatched"
"""The pattern of a path that no route has."""

OTHER = "other"
"""The method of a request that has none of HTTP's."""

ABANDONED = "abandoned"
"""The outcome of a call whose caller was ended, or ended it, before there was one."""

STATUS_CLASSES = {status: f"{status // 100}xx" for status in range(100, 600)}
"""`2xx` and so on, by the status."""


class Reading(NamedTuple):
    """A value at the moment it is asked for, one of those in `READINGS`."""

    name: str
    value: float
    labels: Mapping[str, str] = MappingProxyType({})


READINGS: Mapping[str, str] = {
    "brubeck_build_info": "What runs here: 1.",
    "brubeck_abandoned_total": "Messages whose sender had gone before their answer, by pattern.",
    "brubeck_healthy": "1 if the process says `ok` to health checks, else 0.",
    "brubeck_in_hand": "Messages being handled: HTTP requests, or calls in a service.",
    "brubeck_in_hand_limit": "Messages that may be handled at a time; more are refused.",
    "brubeck_refused_total": "Messages that were not handled, by the reason told to the sender.",
    "brubeck_dropped_total": "Messages that reached nobody, by the reason.",
    "brubeck_leases": "Browser connections that are kept open because an answer is being made.",
    "brubeck_http_requests_queued": "Requests behind another one on their browser's connection.",
    "brubeck_replies_held": "Answers that wait for Mongrel2 to subscribe.",
    "brubeck_sessions": "Callers that have a session with this service.",
    "brubeck_outbox_messages": "Messages that wait until callers of this service read them.",
    "brubeck_outbox_bytes": "Bytes that wait until callers of this service read them.",
    "brubeck_replicas": "Replicas of a service, by how this caller finds them.",
    "brubeck_calls_pending": "Calls to a service that have been sent and wait for their outcome.",
    "brubeck_calls_in_background": "Calls to a service that nobody waits for, under way.",
    "brubeck_caller_outbox_bytes": "Bytes that wait until replicas of a service read them.",
    "brubeck_answers_dropped_total": "Answers of a service that came when nobody waited any more.",
    "brubeck_answers_malformed_total": "What a service said that made no sense.",
}
"""The help texts of all readings, by their names; those of counters end in `_total`."""


Measured = tuple[str, float]
"""One measured thing, to be looked up in the logs: its request's id, and its duration."""

Labels = tuple[str | int, ...]


class Series:
    """The durations that have the same labels."""

    __slots__ = ("counts", "newest", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """How many fell into each bucket, those below not included."""
        self.sum = 0.0
        """Seconds."""
        self.newest: list[Measured | None] = [None] * (len(BOUNDS) + 1)
        """The newest one of each bucket."""


class Durations:
    """Durations by their labels: a histogram for each."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.series: dict[Labels, Series] = {}

    def observe(self, labels: Labels, seconds: float, request_id: str = "") -> None:
        """Count one, and remember the request it was about."""
        series = self.series.get(labels)
        if series is None:
            series = self.series[labels] = Series()
        bucket = bisect_left(BOUNDS, seconds)
        series.counts[bucket] += 1
        series.sum += seconds
        series.newest[bucket] = request_id, seconds


class Metrics:
    """All that one process counts as it goes."""

    def __init__(self) -> None:
        self.requests = Durations(
            "brubeck_http_request_duration_seconds",
            "From an HTTP request to its answer, or the beginning of one that is streamed.",
            ("method", "pattern", "status"),
        )
        self.executions = Durations(
            "brubeck_execution_duration_seconds",
            "From a call's arrival at this service to its answer.",
            ("pattern", "status"),
        )
        self.calls = Durations(
            "brubeck_call_duration_seconds",
            "From making a call to its outcome: a class of statuses, or an error's name.",
            ("service", "outcome"),
        )
        self.event_loop_lag = Durations(
            "brubeck_event_loop_lag_seconds",
            "How late the event loop woke a greenlet that slept a quarter of a second.",
        )
        self.event_loop_lag.series[()] = Series()
        self.abandoned: Counter[str] = Counter()
        """Messages whose sender had gone before their answer, by pattern."""

    @property
    def durations(self) -> tuple[Durations, ...]:
        """All of them."""
        return self.requests, self.executions, self.calls, self.event_loop_lag

    def readings(self) -> Iterator[Reading]:
        """What is counted without a duration."""
        for pattern, count in self.abandoned.items():
            yield Reading("brubeck_abandoned_total", count, {"pattern": pattern})

    def request_answered(
        self, method: str, pattern: str, status: int, seconds: float, request_id: str
    ) -> None:
        """Count an HTTP request that got its answer."""
        name = method if method in METHODS else OTHER
        self.requests.observe((name, pattern or UNMATCHED, status), seconds, request_id)

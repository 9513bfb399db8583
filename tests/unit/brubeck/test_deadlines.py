import time
from collections.abc import Callable, Iterator

import pytest
from gevent.queue import Queue

from brubeck.deadlines import Deadlines

Expired = Queue[tuple[str, float]]


@pytest.fixture
def expired() -> Expired:
    """The keys whose time came, each with the time."""
    return Queue()


@pytest.fixture
def make(expired: Expired) -> Iterator[Callable[[], Deadlines[str]]]:
    made = []

    def deadlines() -> Deadlines[str]:
        made.append(Deadlines[str](lambda key: expired.put((key, time.monotonic()))))
        return made[-1]

    yield deadlines
    for each in made:
        each.close()


Make = Callable[[], Deadlines[str]]


def keys(expired: Expired, count: int) -> list[str]:
    return [expired.get(timeout=10)[0] for _ in range(count)]


def test_no_deadline_is_early_and_each_comes(make: Make, expired: Expired) -> None:
    # Given
    deadlines, started = make(), time.monotonic()
    waits = (0.0, 0.001, 0.049, 0.05, 0.051, 0.12)
    # When
    for seconds in waits:
        deadlines.add(str(seconds), seconds)
    # Then
    for _ in waits:
        key, when = expired.get(timeout=10)
        assert when - started >= float(key)


def test_deadlines_come_in_their_order(make: Make, expired: Expired) -> None:
    deadlines = make()
    for seconds in (0.3, 0.1, 0.2):
        deadlines.add(str(seconds), seconds)
    assert keys(expired, 3) == ["0.1", "0.2", "0.3"]


def test_a_deadline_in_the_past_comes_at_once(make: Make, expired: Expired) -> None:
    make().add("late", -60)
    assert keys(expired, 1) == ["late"]


def test_a_deadline_comes_also_after_a_time_without_any(make: Make, expired: Expired) -> None:
    deadlines = make()
    for name in ("first", "second"):
        deadlines.add(name, 0.01)
        assert keys(expired, 1) == [name]


def test_a_deadline_may_be_added_when_one_comes(make: Make, expired: Expired) -> None:
    chained: Deadlines[str] = Deadlines(lambda key: chained_to.add(f"after {key}", 0.01))
    chained_to = make()
    chained.add("first", 0.01)
    assert keys(expired, 1) == ["after first"]
    chained.close()


def test_a_key_may_be_added_again_when_its_time_comes(expired: Expired) -> None:
    # Given
    def again(key: str) -> None:
        expired.put((key, 0.0))
        deadlines.add(key, 0.0)

    deadlines = Deadlines(again)
    # When
    deadlines.add("heartbeat", 0.0)
    # Then
    assert keys(expired, 3) == ["heartbeat"] * 3
    deadlines.close()


def test_a_deadline_in_the_past_that_is_added_when_one_comes_is_not_forgotten(
    make: Make, expired: Expired
) -> None:
    # Given
    def go_on(key: str) -> None:
        expired.put((key, 0.0))
        if key == "first":
            deadlines.add("second", -60)

    deadlines = Deadlines(go_on)
    deadlines.add("much later", 60)
    # When
    deadlines.add("first", 0.01)
    # Then
    assert keys(expired, 2) == ["first", "second"]
    deadlines.close()


def test_closed_deadlines_never_come(make: Make, expired: Expired) -> None:
    # Given
    closed, witness = make(), make()
    closed.add("forgotten", 0.01)
    witness.add("later", 0.2)
    # When
    closed.close()
    # Then
    assert keys(expired, 1) == ["later"]


def test_many_deadlines_come(make: Make, expired: Expired) -> None:
    deadlines = make()
    for number in range(10_000):
        deadlines.add(str(number), 0.01)
    assert len(set(keys(expired, 10_000))) == 10_000

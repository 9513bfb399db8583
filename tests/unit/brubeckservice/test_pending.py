"""A call waits from before it is sent until it has its one outcome."""

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import gevent
import pytest

from brubeckservice.errors import ServiceError, ServiceLost, ServiceRefused, ServiceTimeout
from brubeckservice.pending import Pending, PendingCall
from brubeckservice.protocol import ServiceResponse
from brubeckservice.session import Session


def session(endpoint: str = "tcp://10.0.0.1:9000") -> Session:
    return cast(Session, SimpleNamespace(endpoint=endpoint))


SESSION = session()
RESPONSE = ServiceResponse(1, 200, "OK", "/p")


@pytest.fixture
def pending() -> Iterator[Pending]:
    pending = Pending(limit=10)
    yield pending
    pending.close()


def in_the_event_loop(do: Callable[..., object], *arguments: object) -> None:
    gevent.get_hub().loop.run_callback(do, *arguments)


def outcome_of(call: PendingCall) -> ServiceResponse | ServiceError:
    with gevent.Timeout(5):
        outcome = call.waiter.get()
    assert isinstance(outcome, ServiceResponse | ServiceError)
    return outcome


def test_a_call_gets_its_response(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)

    in_the_event_loop(pending.finish, call, RESPONSE)

    assert outcome_of(call) is RESPONSE
    assert len(pending) == 0


def test_an_answer_that_comes_before_anybody_waits_is_not_lost(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)
    in_the_event_loop(pending.finish, call, RESPONSE)

    gevent.sleep(0.01)

    assert outcome_of(call) is RESPONSE


def test_a_call_gets_the_error_of_what_went_wrong(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)
    error = ServiceLost("the connection was lost")

    in_the_event_loop(pending.finish, call, error)

    assert outcome_of(call) is error
    assert len(pending) == 0


def test_without_an_answer_a_call_ends_at_its_deadline(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=0.05)

    outcome = outcome_of(call)

    assert isinstance(outcome, ServiceTimeout)
    assert str(outcome) == "no answer from tcp://10.0.0.1:9000 about /p within 0.05 s"
    assert len(pending) == 0


def test_no_deadline_of_an_answered_call_strikes_later(pending: Pending) -> None:
    answered = pending.enter(SESSION, "/p", seconds=0.05)
    in_the_event_loop(pending.finish, answered, RESPONSE)
    assert outcome_of(answered) is RESPONSE

    another = pending.enter(SESSION, "/p", seconds=0.15)

    assert isinstance(outcome_of(another), ServiceTimeout)


def test_only_the_session_a_call_was_sent_to_may_answer_it(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)

    assert pending.find(SESSION, call.id) is call
    assert pending.find(session(), call.id) is None
    assert pending.find(SESSION, call.id + 1) is None


def test_who_has_its_outcome_is_not_found_again(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)
    in_the_event_loop(pending.finish, call, RESPONSE)
    outcome_of(call)

    assert pending.find(SESSION, call.id) is None


def test_who_left_is_not_found(pending: Pending) -> None:
    call = pending.enter(SESSION, "/p", seconds=5)

    pending.leave(call)
    pending.leave(call)  # whatever happened

    assert pending.find(SESSION, call.id) is None
    assert len(pending) == 0


def test_ids_grow(pending: Pending) -> None:
    ids = [pending.enter(SESSION, "/p", seconds=5).id for _ in range(5)]

    assert ids == sorted(set(ids))
    assert ids[0] > 0


def test_calls_are_told_apart_by_session(pending: Pending) -> None:
    other = session("tcp://10.0.0.2:9000")
    calls = [pending.enter(s, "/p", seconds=5) for s in (SESSION, other, SESSION)]

    assert list(pending.at(SESSION)) == [calls[0], calls[2]]
    assert list(pending.at(other)) == [calls[1]]


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_a_call_whose_end_cannot_be_told_takes_no_place(pending: Pending, seconds: float) -> None:
    with pytest.raises((OverflowError, ValueError)):
        pending.enter(SESSION, "/p", seconds)

    assert len(pending) == 0


def test_past_its_bound_a_call_is_refused_until_another_ends(pending: Pending) -> None:
    calls = [pending.enter(SESSION, "/p", seconds=5) for _ in range(10)]
    with pytest.raises(ServiceRefused, match="10 calls are waiting"):
        pending.enter(SESSION, "/p", seconds=5)

    pending.leave(calls[0])

    pending.enter(SESSION, "/p", seconds=5)

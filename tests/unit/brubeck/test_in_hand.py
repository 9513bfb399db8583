"""Messages in hand: exactly one answer each, in time, whatever the work does."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Pool
from gevent.queue import Queue

from brubeck.in_hand import InHand, Job
from tests.waiting import eventually

LONG = 60.0
SHORT = 0.05

Answers = Queue[Any]


@pytest.fixture
def answers() -> Answers:
    return Queue()


def too_late() -> str:
    return "too late"


class JobOf(Job):
    """A job of functions."""

    has_failed = was_abandoned = False

    def __init__(
        self,
        work: Callable[[], Any],
        answer: Callable[[Any], None],
        too_late: Callable[[], Any] = too_late,
    ) -> None:
        super().__init__()
        self._functions = work, answer, too_late

    def work(self) -> Any:
        return self._functions[0]()

    def answer(self, result: Any) -> None:
        self._functions[1](result)

    def too_late(self) -> Any:
        return self._functions[2]()

    def failed(self, _result: Any) -> bool:
        return self.has_failed

    def abandoned(self) -> None:
        self.was_abandoned = True


def start(in_hand: InHand, answers: Answers, work: Callable[[], Any], seconds: float) -> None:
    in_hand.start(JobOf(work, answers.put), seconds)


def after_the_deadline(in_hand: InHand) -> None:
    """Wait until deadlines as long as SHORT that were started before this have passed."""
    passed = Event()
    in_hand.start(JobOf(Event().wait, lambda _: passed.set()), 2 * SHORT)
    assert passed.wait(10)


def test_work_is_answered_with_what_it_returns(answers: Answers) -> None:
    start(InHand(1), answers, lambda: "done", LONG)
    assert answers.get(timeout=10) == "done"


def test_work_that_waits_is_answered_at_its_deadline(answers: Answers) -> None:
    start(InHand(1), answers, Event().wait, SHORT)
    assert answers.get(timeout=10) == "too late"


def test_work_that_waits_is_ended_at_its_deadline(answers: Answers) -> None:
    # Given
    ended = Event()

    def work() -> None:
        try:
            Event().wait()
        finally:
            ended.set()

    # When
    start(InHand(1), answers, work, SHORT)
    # Then
    assert answers.get(timeout=10) == "too late"
    assert ended.wait(10)


def test_work_that_will_not_end_is_answered_once(answers: Answers) -> None:
    # Given work that swallows its end and returns all the same
    returned = Event()

    def work() -> str:
        try:
            Event().wait()
        except gevent.GreenletExit:
            returned.set()
        return "done after all"

    in_hand = InHand(10)
    # When
    start(in_hand, answers, work, SHORT)
    # Then
    assert answers.get(timeout=10) == "too late"
    assert returned.wait(10)
    after_the_deadline(in_hand)
    assert answers.empty()


def test_work_that_was_done_in_time_is_not_answered_again(answers: Answers) -> None:
    in_hand = InHand(10)
    start(in_hand, answers, lambda: "done", SHORT)
    after_the_deadline(in_hand)
    assert answers.get(timeout=10) == "done"
    assert answers.empty()


def test_work_is_ended_before_its_late_answer_is_made(answers: Answers) -> None:
    # Given work that would be done as soon as the late answer is being made, and one that waits
    in_hand, being_made, may_be_made = InHand(10), Event(), Event()

    def slow_too_late() -> str:
        being_made.set()
        may_be_made.wait(10)
        return "too late"

    # When
    in_hand.start(JobOf(being_made.wait, answers.put, slow_too_late), SHORT)
    assert being_made.wait(10)
    gevent.sleep(0)
    # Then
    assert answers.empty()
    may_be_made.set()
    assert answers.get(timeout=10) == "too late"
    assert in_hand.wait_until_empty(10)


def test_one_greenlet_does_one_job_after_another() -> None:
    in_hand = InHand(1)
    greenlets: set[object] = set()
    for _ in range(10):
        in_hand.start(JobOf(gevent.getcurrent, greenlets.add), LONG)
        assert in_hand.wait_until_empty(10)
    assert len(greenlets) == 1


def test_a_greenlet_that_was_too_late_does_no_other_job(answers: Answers) -> None:
    # Given a greenlet that swallows its end
    in_hand, late = InHand(1), Queue[object]()

    def work() -> None:
        late.put(gevent.getcurrent())
        with suppress(gevent.GreenletExit):
            Event().wait()

    start(in_hand, answers, work, SHORT)
    assert answers.get(timeout=10) == "too late"
    assert in_hand.wait_until_empty(10)
    # When
    in_hand.start(JobOf(gevent.getcurrent, answers.put), LONG)
    # Then
    assert answers.get(timeout=10) is not late.get(timeout=10)


def leave_running() -> gevent.Timeout:
    """A mistake of a handler's: a timeout that nobody closes."""
    return gevent.Timeout.start_new(SHORT)


def wait_until_fired(timeout: gevent.Timeout) -> None:
    eventually(lambda: not timeout.pending, "the timeout has fired", seconds=10)


def test_a_timeout_that_a_failed_job_left_running_does_not_hit_the_next(answers: Answers) -> None:
    # Given
    in_hand, may_go_on = InHand(1), Event()
    failed = JobOf(leave_running, answers.put)
    failed.has_failed = True
    in_hand.start(failed, LONG)
    timeout = answers.get(timeout=10)
    # When
    start(in_hand, answers, lambda: may_go_on.wait(10), LONG)
    wait_until_fired(timeout)
    may_go_on.set()
    # Then
    assert answers.get(timeout=10) is True


def test_a_greenlet_that_died_while_it_waited_for_work_is_given_none(answers: Answers) -> None:
    # Given
    in_hand = InHand(1)
    start(in_hand, answers, leave_running, LONG)
    wait_until_fired(answers.get(timeout=10))
    # When
    start(in_hand, answers, lambda: "done", LONG)
    # Then
    assert answers.get(timeout=10) == "done"


def test_the_end_of_a_late_job_is_not_the_end_of_the_next(answers: Answers) -> None:
    # Given a greenlet that has done a job whose deadline is still to come
    in_hand = InHand(1)
    start(in_hand, answers, lambda: "done", SHORT)
    assert answers.get(timeout=10) == "done"
    # When it does another, and that deadline comes
    may_go_on = Event()
    start(in_hand, answers, lambda: may_go_on.wait(10), LONG)
    gevent.sleep(4 * SHORT)
    may_go_on.set()
    # Then
    assert answers.get(timeout=10) is True


@pytest.mark.parametrize("pool", [None, Pool(1)], ids=["own greenlets", "a pool"])
def test_a_job_sees_the_context_it_begins_with_also_when_it_is_too_late(
    pool: Pool | None, answers: Answers
) -> None:
    # Given
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    given = Context()
    given.run(variable.set, "what was given")
    in_hand = InHand(1)
    in_hand.pool = pool

    def work() -> str:
        seen = variable.get()
        variable.set("its own")
        return seen

    def work_too_long() -> None:
        work()
        Event().wait()

    for _ in range(2):  # by a new greenlet, and by one that has done it before
        # When
        job = JobOf(work, answers.put)
        job.context = given
        in_hand.start(job, LONG)
        # Then
        assert answers.get(timeout=10) == "what was given"
    # When
    late = JobOf(work_too_long, answers.put, variable.get)
    late.context = given
    in_hand.start(late, SHORT)
    # Then
    assert answers.get(timeout=10) == "what was given"


def test_a_context_variable_set_by_one_job_is_not_seen_by_the_next(answers: Answers) -> None:
    # Given
    variable: ContextVar[str] = ContextVar("variable", default="not set")
    in_hand = InHand(1)
    start(in_hand, answers, lambda: variable.set("set"), LONG)
    assert answers.get(timeout=10)
    # When
    start(in_hand, answers, variable.get, LONG)
    # Then
    assert answers.get(timeout=10) == "not set"


def test_greenlets_of_a_pool_do_one_job_each(answers: Answers) -> None:
    # Given
    in_hand = InHand(10)
    in_hand.pool = Pool(1)
    # When
    start(in_hand, answers, lambda: "done", LONG)
    assert answers.get(timeout=10) == "done"
    # Then
    assert in_hand.pool.join(timeout=10)
    assert not in_hand.full


def test_work_that_is_ended_gets_no_answer(answers: Answers) -> None:
    # Given
    in_hand, told = InHand(1), Queue[str]()

    def work() -> None:
        try:
            Event().wait()
        finally:
            told.put("to end")

    job = JobOf(work, answers.put)
    in_hand.start(job, LONG)
    gevent.idle()
    # When
    in_hand.end(job)
    # Then
    assert told.get(timeout=10) == "to end"
    assert in_hand.wait_until_empty(10)
    gevent.idle()
    assert answers.empty()
    assert job.was_abandoned


def test_a_greenlet_that_waits_for_work_keeps_nothing_of_what_it_has_done(
    answers: Answers,
) -> None:
    in_hand = InHand(1)
    variable: ContextVar[Any] = ContextVar("variable")

    def set_variable() -> Any:
        variable.set(Event())
        return variable.get()

    for _ in range(2):
        job = JobOf(set_variable, answers.put)
        in_hand.start(job, LONG)
        what_it_set = weakref.ref(answers.get(timeout=10))
        gevent.idle()
        done = weakref.ref(job)
        del job
        assert (done(), what_it_set()) == (None, None)


def test_work_that_is_ended_before_it_has_begun_never_begins(answers: Answers) -> None:
    # Given an idle greenlet, which could begin at once
    in_hand = InHand(1)
    start(in_hand, answers, lambda: "done", LONG)
    assert answers.get(timeout=10) == "done"
    # When
    job = JobOf(lambda: answers.put("begun"), answers.put)
    in_hand.start(job, LONG)
    in_hand.end(job)
    gevent.idle()
    # Then
    assert answers.empty()
    assert len(in_hand) == 0


def test_work_that_is_ended_while_its_late_answer_is_made_gets_none(answers: Answers) -> None:
    # Given
    in_hand, being_made, may_be_made = InHand(1), Event(), Event()

    def slow_too_late() -> str:
        being_made.set()
        may_be_made.wait(10)
        return "too late"

    job = JobOf(Event().wait, answers.put, slow_too_late)
    in_hand.start(job, SHORT)
    assert being_made.wait(10)
    # When
    in_hand.end(job)
    may_be_made.set()
    gevent.idle()
    # Then
    assert answers.empty()


def test_what_is_done_is_ended_without_harm(answers: Answers) -> None:
    in_hand = InHand(1)
    job = JobOf(lambda: "done", answers.put)
    in_hand.start(job, LONG)
    assert answers.get(timeout=10) == "done"

    in_hand.end(job)

    assert not job.was_abandoned
    start(in_hand, answers, lambda: "the next", LONG)
    assert answers.get(timeout=10) == "the next"


def test_work_is_counted_until_it_is_answered(answers: Answers) -> None:
    # Given
    in_hand, may_go_on = InHand(2), Event()
    assert (len(in_hand), in_hand.full) == (0, False)
    # When
    start(in_hand, answers, may_go_on.wait, LONG)
    assert (len(in_hand), in_hand.full) == (1, False)
    start(in_hand, answers, may_go_on.wait, LONG)
    # Then
    assert (len(in_hand), in_hand.full) == (2, True)
    may_go_on.set()
    assert in_hand.wait_until_empty(10)
    assert (len(in_hand), in_hand.full) == (0, False)


def test_work_that_was_too_late_is_in_hand_no_longer(answers: Answers) -> None:
    in_hand = InHand(1)
    start(in_hand, answers, Event().wait, SHORT)
    assert in_hand.wait_until_empty(10)
    assert not in_hand.full


def test_waiting_for_the_last_has_an_end(answers: Answers) -> None:
    in_hand = InHand(1)
    assert in_hand.wait_until_empty(0)
    start(in_hand, answers, Event().wait, LONG)
    assert not in_hand.wait_until_empty(0.01)


def test_a_full_pool_is_full_hands(answers: Answers) -> None:
    # Given
    in_hand, may_go_on = InHand(10), Event()
    in_hand.pool = Pool(1)
    # When
    start(in_hand, answers, may_go_on.wait, LONG)
    # Then
    assert in_hand.full
    may_go_on.set()
    assert in_hand.wait_until_empty(10)


def test_an_answer_that_cannot_be_given_leaves_nothing_in_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given
    def answer(_: Any) -> None:
        raise OSError("the socket is closed")

    in_hand = InHand(1)
    # When
    in_hand.start(JobOf(lambda: "done", answer), LONG)
    # Then
    assert in_hand.wait_until_empty(10)
    gevent.idle()
    assert "the socket is closed" in capsys.readouterr().err


def test_each_of_many_is_answered_once(answers: Answers) -> None:
    # Given half that are done in time and half that are not
    in_hand = InHand(1000)
    for number in range(1000):
        waits = number % 2
        start(in_hand, answers, Event().wait if waits else lambda: "done", SHORT if waits else LONG)
    # Then
    assert in_hand.wait_until_empty(10)
    given = [answers.get_nowait() for _ in range(answers.qsize())]
    assert (given.count("done"), given.count("too late"), len(given)) == (500, 500, 1000)

"""What all connections have in common: they live until they are stopped and done."""

from typing import Any
from unittest.mock import Mock

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Pool

from brubeck.application import Brubeck
from brubeck.connection import Connection
from brubeck.health import HEALTHY
from brubeck.in_hand import Job
from brubeck.web_handlers import WebMessageHandler
from tests.unit.brubeck.fakes import FakeTracing, brubeck, request


class RecordedConnection(Connection):
    """Records its life, and takes messages from the test."""

    def __init__(self) -> None:
        super().__init__(max_in_hand=10)
        self.life: list[str] = []
        self.answers: list[Any] = []

    def _open(self) -> None:
        self.life.append("open")

    def _refuse_new_work(self) -> None:
        self.life.append("refuse new work")

    def close(self) -> None:
        self.life.append("close")

    def take(
        self, seconds: float = 60.0, base_handler: type[WebMessageHandler] = WebMessageHandler
    ) -> Job:
        """A message comes, to be answered within `seconds`."""
        return self._handle(request(), seconds, base_handler, self._answer)

    def lose(self, job: Job) -> None:
        """Its sender leaves."""
        self._in_hand.end(job)

    def _answer(self, response: Any) -> None:
        self.answers.append(response)
        self.life.append(f"answer {response.status_code}")


@pytest.fixture
def connection() -> RecordedConnection:
    return RecordedConnection()


@pytest.fixture
def may_answer() -> Event:
    return Event()


@pytest.fixture
def application(may_answer: Event) -> Brubeck:
    """An application whose handler waits for leave to answer."""

    class Page(WebMessageHandler):
        def get(self) -> Any:
            may_answer.wait()
            return self.render(200)

    return brubeck((r"^/", Page), drain_timeout=10)


def serve(connection: Connection, application: Brubeck) -> "gevent.Greenlet[..., None]":
    running = gevent.spawn(connection.recv_forever_ever, application)
    gevent.idle()
    return running


def test_calls_that_are_made_late_while_it_stops_are_finished_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    class Late(WebMessageHandler):
        def get(self) -> Any:
            gevent.sleep(0.05)
            under_way.append("a call that nobody waits for")
            return self.render(200)

    under_way = ["one from before"]
    connection = RecordedConnection()
    application = brubeck((r"^/$", Late))

    def finish_background(_seconds: float) -> int:
        if under_way == ["one from before"]:
            connection.take()  # a request on a connection that was open already
            gevent.idle()
        under_way.clear()
        return 0

    monkeypatch.setattr(application, "finish_background", finish_background)
    running = gevent.spawn(connection.recv_forever_ever, application)
    gevent.idle()
    # When
    connection.stop()
    running.get(timeout=10)
    # Then
    assert connection.life[-2:] == ["answer 200", "close"]
    assert under_way == []


def test_a_connection_that_is_stopped_finishes_what_is_in_hand_and_closes(
    connection: RecordedConnection, application: Brubeck, may_answer: Event
) -> None:
    # Given
    running = serve(connection, application)
    connection.take()
    # When
    connection.stop()
    gevent.idle()
    # Then
    assert connection.stopping
    assert connection.life == ["open", "refuse new work"]
    may_answer.set()
    running.get(timeout=10)
    assert connection.life == ["open", "refuse new work", "answer 200", "close"]


def test_a_connection_waits_for_what_is_in_hand_no_longer_than_it_may(
    connection: RecordedConnection, application: Brubeck, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    application.drain_timeout = 0.05
    running = serve(connection, application)
    connection.take()
    # When
    connection.stop()
    # Then
    running.get(timeout=10)
    assert connection.life == ["open", "refuse new work", "close"]
    assert "still in hand at the end: 1" in caplog.text


def test_a_connection_that_is_stopped_waits_for_the_calls_that_nobody_waits_for(
    connection: RecordedConnection, application: Brubeck, may_answer: Event
) -> None:
    # Given calls of two services; what the second one's is told makes another of the first
    first, second = Pool(), Pool()
    application._resources.update(
        {"a": object(), "b": Mock(background=first), "c": Mock(background=second)}
    )

    def is_told() -> None:
        may_answer.wait()
        first.spawn(connection.life.append, "call")

    second.spawn(is_told)
    running = serve(connection, application)
    # When
    connection.stop()
    gevent.idle()
    # Then
    assert connection.life == ["open", "refuse new work"]
    may_answer.set()
    running.get(timeout=10)
    assert connection.life == ["open", "refuse new work", "call", "close"]


def test_a_connection_waits_for_such_calls_no_longer_than_it_may(
    connection: RecordedConnection, application: Brubeck, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    application.drain_timeout = 0.05
    calls = Pool()
    application._resources["a"] = Mock(background=calls)
    calls.spawn(Event().wait)
    running = serve(connection, application)
    # When
    connection.stop()
    # Then
    running.get(timeout=10)
    assert connection.life == ["open", "refuse new work", "close"]
    assert "calls that nobody waits for, lost at the end: 1" in caplog.text


def test_a_message_is_answered_at_its_deadline(
    connection: RecordedConnection, application: Brubeck
) -> None:
    running = serve(connection, application)
    connection.take(seconds=0.05)
    connection.stop()
    running.get(timeout=10)
    assert connection.life == ["open", "refuse new work", "answer 504", "close"]


@pytest.mark.parametrize("step", ["initialize", "render_error"])
def test_a_message_that_is_too_late_is_answered_also_where_the_error_page_waits(
    connection: RecordedConnection,
    application: Brubeck,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    monkeypatch.setattr("brubeck.message_job.ERROR_PAGE_TIMEOUT", 0.1)
    waits = type("Waits", (WebMessageHandler,), {step: lambda *_, **__: Event().wait()})
    running = serve(connection, application)
    # When
    connection.take(0.05, waits)
    connection.stop()
    running.get(timeout=20)
    # Then
    assert connection.life == ["open", "refuse new work", "answer 504", "close"]
    assert [answer.body for answer in connection.answers] == [b"504 Gateway Timeout\n"]


def test_a_message_that_is_too_late_is_answered_also_where_the_error_page_is_streamed(
    connection: RecordedConnection, application: Brubeck
) -> None:
    # Given
    class Streamed(WebMessageHandler):
        def render_error(self, status_code: int, *_args: Any, **_kwargs: Any) -> Any:
            self.set_body(iter(["sorry"]), status_code=status_code)
            return self.render()

    running = serve(connection, application)
    # When
    connection.take(0.05, Streamed)
    connection.stop()
    running.get(timeout=20)
    # Then
    (answer,) = connection.answers
    assert (answer.streamed, answer.body) == (False, b"504 Gateway Timeout\n")


def test_on_finish_runs_also_for_a_handler_that_is_ended_at_its_deadline(
    connection: RecordedConnection,
) -> None:
    # Given
    finished = Event()

    class Page(WebMessageHandler):
        def get(self) -> Any:
            Event().wait()

        def on_finish(self) -> None:
            finished.set()

    running = serve(connection, brubeck((r"^/", Page)))
    # When
    connection.take(seconds=0.05)
    # Then
    assert finished.wait(10)
    connection.stop()
    running.get(timeout=10)


def test_the_span_of_a_message_whose_sender_leaves_is_ended(
    connection: RecordedConnection, application: Brubeck
) -> None:
    application.tracing = tracing = FakeTracing()  # type: ignore[assignment]
    running = serve(connection, application)
    job = connection.take()
    gevent.idle()

    connection.lose(job)

    connection.stop()
    running.get(timeout=10)
    assert tracing.ended == ["abandoned"]


def test_it_is_ended_as_well_if_the_sender_leaves_when_it_is_too_late_already(
    connection: RecordedConnection, application: Brubeck
) -> None:
    # Given
    begun, go_on = Event(), Event()

    class TakesItsTime(WebMessageHandler):
        def render_error(self, *args: Any, **kwargs: Any) -> Any:
            begun.set()
            go_on.wait()
            return super().render_error(*args, **kwargs)

    application.tracing = tracing = FakeTracing()  # type: ignore[assignment]
    running = serve(connection, application)
    job = connection.take(0.05, TakesItsTime)
    assert begun.wait(10)
    # When
    connection.lose(job)
    go_on.set()
    # Then
    connection.stop()
    running.get(timeout=10)
    gevent.idle()
    assert tracing.ended == ["abandoned"]
    assert "answer 504" not in connection.life


def test_a_connection_that_cannot_open_says_why_and_does_not_run(application: Brubeck) -> None:
    with pytest.raises(NotImplementedError):
        Connection(max_in_hand=10).recv_forever_ever(application)


def test_a_connection_without_a_mongrel2_can_only_answer() -> None:
    with pytest.raises(NotImplementedError, match="RecordedConnection"):
        RecordedConnection().send("ident", "7", b"news")


def test_messages_are_handled_in_the_applications_pool(
    connection: RecordedConnection, application: Brubeck, may_answer: Event
) -> None:
    # Given
    application.pool = Pool(1)
    running = serve(connection, application)
    # When
    connection.take()
    # Then
    assert application.pool.full()
    may_answer.set()
    connection.stop()
    running.get(timeout=10)


def test_a_connection_is_well_until_it_knows_better(connection: RecordedConnection) -> None:
    assert connection.health() == HEALTHY
    assert not connection.stopping

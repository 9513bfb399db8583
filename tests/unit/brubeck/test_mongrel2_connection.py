"""HTTP through Mongrel2: what comes and goes, with a Mongrel2 that the test plays."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
import zmq
from gevent.event import Event
from gevent.queue import Queue

from brubeck.connections import Mongrel2Connection
from brubeck.health import HEALTHY
from brubeck.mongrel2 import Browser
from brubeck.mongrel2_connection import MAX_HELD, MAX_PIPELINED
from brubeck.response import Response
from brubeck.routing import Target
from brubeck.web_handlers import WebMessageHandler
from tests.unit.brubeck.fakes import FakeTracing, brubeck
from tests.waiting import eventually

PULL, PUB = "tcp://mongrel2:9999", "tcp://mongrel2:9998"
IDENT = "ident-of-this-start"


@dataclass
class Published:
    """A reply as Mongrel2 reads it."""

    sender: str
    conn_ids: list[str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.body.split()[1])

    @property
    def headers(self) -> list[str]:
        return self.body.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]

    @property
    def content(self) -> bytes:
        return self.body.partition(b"\r\n\r\n")[2]


@dataclass
class FakeSocket:
    """Stands in for a LoopSocket: the test reads what was sent, and says what comes."""

    on_message: Callable[[list[bytes]], None]
    sent: "Queue[bytes]"
    closed: bool = False
    full: bool = False
    agreed: bool = True

    def send(self, frames: list[bytes]) -> bool:
        assert not self.closed
        if not self.full:
            self.sent.put(b"".join(frames))
        return not self.full

    def close(self, linger: int = 0) -> None:  # noqa: ARG002  # a LoopSocket's
        self.closed = True

    finish = close


class FakeMongrel2:
    """The other end of both sockets."""

    def __init__(self) -> None:
        self.sockets: dict[str, FakeSocket] = {}
        self.sent: Queue[bytes] = Queue()
        self.leases: Collection[Browser] = ()

    def leased(self, socket: "zmq.Socket[bytes]", browsers: Collection[Browser]) -> FakeSocket:
        socket.close(0)
        self.leases = browsers
        return FakeSocket(lambda _: None, self.sent)

    def connected(
        self,
        _: type,
        socket: "zmq.Socket[bytes]",
        addr: str,
        on_message: Callable[[list[bytes]], None],
    ) -> FakeSocket:
        socket.close(0)
        self.sockets[addr] = FakeSocket(on_message, self.sent)
        return self.sockets[addr]

    def starts(self, ident: str = IDENT) -> None:
        self.sockets[PUB].on_message([b"\x01" + ident.encode()])

    def stops(self, ident: str = IDENT) -> None:
        self.sockets[PUB].on_message([b"\x00" + ident.encode()])

    def pushes(self, message: bytes) -> None:
        self.sockets[PULL].on_message([message])

    def asks(
        self,
        path: str = "/",
        method: str = "GET",
        conn_id: int = 1,
        ident: str = IDENT,
        headers: dict[str, str] | None = None,
    ) -> None:
        text = json.dumps({"METHOD": method, "PATH": path} | (headers or {}))
        self.pushes(f"{ident} {conn_id} {path} {len(text)}:{text},0:,".encode())

    def leaves(self, conn_id: int = 1) -> None:
        self.pushes(
            f'{IDENT} {conn_id} @* 17:{{"METHOD":"JSON"}},21:{{"type":"disconnect"}},'.encode()
        )

    def reads(self) -> Published:
        """The next reply."""
        sender, rest = self.sent.get(timeout=10).split(b" ", 1)
        length, rest = rest.split(b":", 1)
        targets, body = rest[: int(length)], rest[int(length) :]
        assert body[:2] == b", "
        return Published(sender.decode(), targets.decode().split(), body[2:])

    def reads_nothing(self) -> bool:
        """Whether no reply came, nor comes from what is ready to run."""
        gevent.idle()
        return self.sent.empty()


class Page(WebMessageHandler):
    """Says which path was asked for."""

    def get(self) -> Any:
        self.set_body(self.message.path)
        return self.render()


class Streamed(WebMessageHandler):
    """Answers with its `pieces`."""

    def get(self) -> Any:
        self.set_body(self.pieces())
        return self.render()

    def pieces(self) -> Iterator[str]:
        """What a test wants to be sent."""
        yield from ()


class WaitingPage(WebMessageHandler):
    """Answers when the test lets it: `go_on[path].set()`."""

    go_on: dict[str, Event]

    def get(self) -> Any:
        self.go_on.setdefault(self.message.path, Event()).wait()
        self.set_body(self.message.path)
        return self.render()


def returns(response: Response) -> Target:
    """A handler that answers whatever the test wants."""
    return lambda *_: response


@dataclass
class Served:
    """A connection that runs."""

    connection: Mongrel2Connection
    mongrel2: FakeMongrel2
    running: "gevent.Greenlet[..., None]"

    def stop(self) -> None:
        self.connection.stop()
        self.running.get(timeout=10)


Serve = Callable[..., Served]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Runs an application behind a Mongrel2 that has not started yet."""
    all_served: list[Served] = []

    def run(*routes: tuple[str, Target], tracing: Any = None, **settings: Any) -> Served:
        mongrel2 = FakeMongrel2()
        monkeypatch.setattr("brubeck.mongrel2_connection._connected", mongrel2.connected)
        monkeypatch.setattr("brubeck.mongrel2_connection.Leases", mongrel2.leased)
        connection = Mongrel2Connection(PULL, PUB)
        application = brubeck(*routes, **{"drain_timeout": 0.0} | settings)
        application.tracing = tracing
        running = gevent.spawn(connection.recv_forever_ever, application)
        gevent.idle()
        all_served.append(Served(connection, mongrel2, running))
        return all_served[-1]

    yield run
    for served in all_served:
        served.stop()


@pytest.fixture
def go_on() -> dict[str, Event]:
    WaitingPage.go_on = {}
    return WaitingPage.go_on


@pytest.fixture
def page(serve: Serve) -> FakeMongrel2:
    """A Mongrel2 with Page behind it."""
    served = serve((r"^/", Page))
    served.mongrel2.starts()
    return served.mongrel2


# Mongrel2 comes and goes


@pytest.mark.parametrize("addresses", [(PULL, "mongrel2:9998"), ("tcp://mongrel2", PUB)])
def test_what_is_no_address_is_refused_by_name(addresses: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"'(mongrel2:9998|tcp://mongrel2)'"):
        Mongrel2Connection(*addresses)


def test_no_request_is_taken_before_mongrel2_listens_to_answers(serve: Serve) -> None:
    served = serve((r"^/", Page))
    assert PULL not in served.mongrel2.sockets
    assert served.connection.health() != HEALTHY
    served.mongrel2.starts()
    assert PULL in served.mongrel2.sockets
    assert served.connection.health() == HEALTHY


@pytest.mark.parametrize("there", [True, False])
def test_a_mongrel2_that_is_there_and_does_not_subscribe_is_heard_all_the_same(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    # Given
    monkeypatch.setattr("brubeck.mongrel2_connection.SILENCE", 0.01)
    served = serve((r"^/", Page))
    served.mongrel2.sockets[PUB].agreed = there
    # When
    gevent.sleep(0.1)
    # Then
    assert (PULL in served.mongrel2.sockets) == there
    if there:  # and what it asks is answered when it does
        served.mongrel2.asks("/early")
        assert served.mongrel2.reads_nothing()
        served.mongrel2.starts()
        assert served.mongrel2.reads().content == b"/early"


def test_a_request_is_answered_on_its_own_connection(page: FakeMongrel2) -> None:
    page.asks("/hello", conn_id=7)
    answer = page.reads()
    assert (answer.sender, answer.conn_ids) == (IDENT, ["7"])
    assert (answer.status, answer.content) == (200, b"/hello")
    assert page.reads_nothing()


def test_every_answer_has_a_date_and_a_request_id_of_its_own(page: FakeMongrel2) -> None:
    names = set()
    for conn_id in (1, 2):
        page.asks(conn_id=conn_id)
        headers = dict(line.split(": ", 1) for line in page.reads().headers)
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["Date"])
        names.add(headers["X-Request-ID"])
    assert len(names) == 2


def test_what_an_earlier_mongrel2_asked_is_never_answered(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given a request in hand when Mongrel2 is restarted
    served = serve((r"^/", WaitingPage))
    mongrel2 = served.mongrel2
    mongrel2.starts("first-start")
    mongrel2.asks("/old", conn_id=1, ident="first-start")
    gevent.idle()
    mongrel2.stops("first-start")
    assert served.connection.health() != HEALTHY
    mongrel2.starts("second-start")
    # When a new browser has the same number, and the old answer is ready
    mongrel2.asks("/new", conn_id=1, ident="second-start")
    gevent.idle()
    go_on["/old"].set()
    # Then
    assert mongrel2.reads_nothing()
    go_on["/new"].set()
    answer = mongrel2.reads()
    assert (answer.sender, answer.content) == ("second-start", b"/new")


def test_what_is_read_of_a_mongrel2_that_has_gone_is_forgotten_when_the_next_one_comes(
    serve: Serve,
) -> None:
    # Given requests that are read when it is known already that who sent them has gone
    ended = Event()

    class Stream(Streamed):
        def pieces(self) -> Iterator[str]:
            try:
                yield "for a browser that has gone"
                Event().wait()
            finally:
                ended.set()

    served = serve((r"^/stream", Stream), (r"^/", Page))
    connection, mongrel2 = served.connection, served.mongrel2
    mongrel2.starts("first-start")
    mongrel2.stops("first-start")
    mongrel2.asks("/stream", conn_id=1, ident="first-start")
    mongrel2.asks("/page", conn_id=2, ident="first-start")
    gevent.idle()
    # When
    mongrel2.starts("second-start")
    # Then
    assert ended.wait(10)
    assert mongrel2.reads_nothing()
    assert (list(connection._browsers), connection._held) == ([], [])
    assert len(connection._in_hand) == 0


def test_what_is_read_before_its_mongrel2_subscribes_is_not_forgotten(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    served = serve((r"^/slow", WaitingPage), (r"^/", Page))
    served.mongrel2.starts("first-start")
    served.mongrel2.stops("first-start")
    for conn_id, path in ((1, "/slow"), (2, "/quick")):
        served.mongrel2.asks(path, conn_id=conn_id, ident="second-start")
    gevent.idle()
    # When
    served.mongrel2.starts("second-start")
    # Then
    assert served.mongrel2.reads().content == b"/quick"
    go_on["/slow"].set()
    assert served.mongrel2.reads().content == b"/slow"


def test_an_empty_subscription_is_one_to_everything(serve: Serve) -> None:
    # Given
    served = serve((r"^/", Page))
    served.mongrel2.starts(ident="")
    # When
    served.mongrel2.asks("/hello")
    # Then
    assert served.mongrel2.reads().content == b"/hello"
    served.mongrel2.stops(ident="")
    assert served.connection.health() != HEALTHY


def test_a_reply_waits_for_mongrel2_to_listen(serve: Serve) -> None:
    served = serve()
    served.connection.send(IDENT, "7", b"early")
    assert served.mongrel2.reads_nothing()
    served.mongrel2.starts()
    assert served.mongrel2.reads() == Published(IDENT, ["7"], b"early")


def test_a_reply_that_waited_while_a_mongrel2_went_is_not_given_to_the_next(serve: Serve) -> None:
    served = serve()
    served.mongrel2.starts("first-start")
    served.connection.send("second-start", "7", b"early")
    served.mongrel2.stops("first-start")
    served.mongrel2.starts("second-start")
    assert served.mongrel2.reads_nothing()


def test_replies_that_wait_are_bounded_and_the_newest_goes(serve: Serve) -> None:
    served = serve()
    for number in range(MAX_HELD + 1):
        served.connection.send(IDENT, str(number), b"early")
    served.mongrel2.starts()
    assert served.mongrel2.sent.qsize() == MAX_HELD
    assert served.mongrel2.reads().conn_ids == ["0"]
    assert served.connection.dropped["not held"] == 1


def test_an_answer_that_mongrel2_does_not_take_is_dropped_and_counted(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve((r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.sockets[PUB].full = True
    served.mongrel2.asks()
    assert served.mongrel2.reads_nothing()
    assert served.connection.dropped.total() == 1
    assert not any(record.message.startswith("replied") for record in caplog.records)
    assert not served.connection._browsers, "Mongrel2 would not close the connection"


def test_an_answer_of_which_a_piece_was_dropped_gets_no_other_piece_and_no_end(
    serve: Serve,
) -> None:
    # Given
    pieces: list[str] = []

    class Stream(Streamed):
        def pieces(self) -> Iterator[str]:
            try:
                for piece in ("one", "lost", "three"):
                    served.mongrel2.sockets[PUB].full = piece == "lost"
                    pieces.append(piece)
                    yield piece
            finally:
                served.mongrel2.sockets[PUB].full = False
                pieces.append("closed")

    served = serve((r"^/", Stream))
    served.mongrel2.starts()
    # When
    served.mongrel2.asks()
    # Then
    assert served.mongrel2.reads().status == 200
    assert b"one" in served.mongrel2.reads().body
    assert served.mongrel2.reads_nothing()
    assert pieces == ["one", "lost", "closed"]
    assert not served.connection._browsers, "Mongrel2 would not close the connection"


def test_a_stream_whose_mongrel2_has_gone_reaches_nobody_behind_the_next(serve: Serve) -> None:
    # Given
    go_on = Event()

    class Stream(Streamed):
        def pieces(self) -> Iterator[str]:
            yield "one"
            go_on.wait()
            yield "for a browser that has gone"

    served = serve((r"^/", Stream))
    served.mongrel2.starts()
    served.mongrel2.asks()
    assert served.mongrel2.reads().status == 200
    assert b"one" in served.mongrel2.reads().body
    # When
    go_on.set()  # in the very turn in which Mongrel2 goes
    served.mongrel2.stops()
    gevent.idle()
    served.mongrel2.starts()
    # Then
    assert served.mongrel2.reads_nothing()


def test_a_stream_that_will_not_end_reaches_nobody_once_its_browser_has_gone(serve: Serve) -> None:
    # Given
    ended = Event()

    class Stubborn(Streamed):
        def pieces(self) -> Iterator[str]:
            yield "one"
            try:
                gevent.sleep(60)
            except gevent.GreenletExit:
                ended.set()
            yield "for nobody"

    served = serve((r"^/", Stubborn))
    served.mongrel2.starts()
    served.mongrel2.asks()
    assert served.mongrel2.reads().status == 200
    assert b"one" in served.mongrel2.reads().body
    # When
    served.mongrel2.leaves()
    # Then
    assert ended.wait(10)
    assert served.mongrel2.reads_nothing()


def test_a_stream_begins_for_nobody_whose_browser_has_gone(serve: Serve) -> None:
    go_on = Event()

    class Stubborn(WebMessageHandler):
        def get(self) -> Any:
            with suppress(BaseException):
                go_on.wait()
            self.set_body(iter(["for nobody"]))
            return self.render()

    served = serve((r"^/", Stubborn))
    served.mongrel2.starts()
    served.mongrel2.asks()
    gevent.idle()
    served.mongrel2.leaves()

    assert served.mongrel2.reads_nothing()


def test_one_reply_to_many_names_no_more_than_mongrel2_takes(serve: Serve) -> None:
    served = serve()
    served.mongrel2.starts()
    everybody = [str(number) for number in range(300)]
    served.connection.reply_bulk(IDENT, everybody, b"news")
    replies = [served.mongrel2.reads() for _ in range(3)]
    assert [name for reply in replies for name in reply.conn_ids] == everybody
    assert max(len(reply.conn_ids) for reply in replies) <= 128


def test_many_connections_are_closed_at_once(serve: Serve) -> None:
    served = serve()
    served.mongrel2.starts()
    served.connection.close_bulk(IDENT, ["7", "8"])
    assert served.mongrel2.reads() == Published(IDENT, ["7", "8"], b"")


def test_the_browsers_of_the_requests_in_hand_have_leases_and_no_others(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given two requests in hand, and one that is answered
    served = serve((r"^/wait", WaitingPage), (r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.asks("/", conn_id=7)
    assert served.mongrel2.reads().conn_ids == ["7"]
    served.mongrel2.asks("/wait/8", conn_id=8)
    served.mongrel2.asks("/wait/9", conn_id=9)
    gevent.idle()
    # Then
    assert list(served.mongrel2.leases) == [(IDENT, "8"), (IDENT, "9")]
    # When one more is answered
    go_on["/wait/8"].set()
    assert served.mongrel2.reads().conn_ids == ["8"]
    # Then its lease ends
    assert list(served.mongrel2.leases) == [(IDENT, "9")]


# How a connection goes on


def test_a_connection_is_kept_for_the_next_request(page: FakeMongrel2) -> None:
    page.asks("/first", headers={"VERSION": "HTTP/1.1"})
    answer = page.reads()
    assert "Connection: close" not in answer.headers
    assert page.reads_nothing()
    page.asks("/second", headers={"VERSION": "HTTP/1.1"})
    assert page.reads().content == b"/second"


@pytest.mark.parametrize(
    ("version", "connection"),
    [("HTTP/1.1", "close"), ("HTTP/1.1", "Keep-Alive, Close"), ("HTTP/1.0", "")],
)
def test_a_connection_that_is_to_be_closed_is_closed_after_the_answer(
    page: FakeMongrel2, version: str, connection: str
) -> None:
    page.asks("/hello", headers={"VERSION": version, "connection": connection})
    answer = page.reads()
    assert "Connection: close" in answer.headers
    assert answer.content == b"/hello"
    assert page.reads() == Published(IDENT, ["1"], b"")


def test_a_connection_of_http_1_0_is_kept_when_asked_to(page: FakeMongrel2) -> None:
    page.asks("/hello", headers={"VERSION": "HTTP/1.0", "connection": "keep-alive"})
    assert "Connection: close" not in page.reads().headers
    assert page.reads_nothing()


def test_head_is_answered_with_the_length_of_the_page_and_without_it(page: FakeMongrel2) -> None:
    page.asks("/hello", "HEAD")
    answer = page.reads()
    assert (answer.status, answer.content) == (200, b"")
    assert "Content-Length: 6" in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/", 405)])
def test_head_has_no_body_also_where_it_fails(serve: Serve, path: str, status: int) -> None:
    class OnlyPut(WebMessageHandler):
        def put(self) -> Any:
            return self.render(200)

    served = serve((r"^/$", OnlyPut))
    served.mongrel2.starts()
    served.mongrel2.asks(path, "HEAD")
    answer = served.mongrel2.reads()
    assert (answer.status, answer.content) == (status, b"")


def test_requests_of_one_connection_are_answered_in_their_order(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given a slow request with two quick ones behind it
    served = serve((r"^/slow", WaitingPage), (r"^/", Page))
    served.mongrel2.starts()
    for path in ("/slow", "/second", "/third"):
        served.mongrel2.asks(path)
    assert served.mongrel2.reads_nothing()
    # When
    go_on["/slow"].set()
    # Then
    assert [served.mongrel2.reads().content for _ in range(3)] == [b"/slow", b"/second", b"/third"]


def test_a_slow_request_delays_no_other_connection(serve: Serve, go_on: dict[str, Event]) -> None:
    served = serve((r"^/slow", WaitingPage), (r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow", conn_id=1)
    served.mongrel2.asks("/quick", conn_id=2)
    assert served.mongrel2.reads().content == b"/quick"
    go_on["/slow"].set()
    assert served.mongrel2.reads().content == b"/slow"


def test_what_is_behind_a_request_that_closes_is_not_answered(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    served = serve((r"^/slow", WaitingPage), (r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow", headers={"connection": "close"})
    served.mongrel2.asks("/behind")
    gevent.idle()
    go_on["/slow"].set()
    assert served.mongrel2.reads().content == b"/slow"
    assert served.mongrel2.reads().body == b""
    assert served.mongrel2.reads_nothing()


def test_a_connection_with_too_many_requests_waiting_is_closed(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    served = serve((r"^/slow", WaitingPage), (r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    for _ in range(MAX_PIPELINED - 1):
        served.mongrel2.asks("/behind")
    assert served.mongrel2.reads_nothing()
    # When
    served.mongrel2.asks("/one-too-many")
    # Then
    assert served.mongrel2.reads() == Published(IDENT, ["1"], b"")
    go_on["/slow"].set()
    assert served.mongrel2.reads_nothing()


def test_who_has_gone_is_not_answered(serve: Serve, go_on: dict[str, Event]) -> None:
    # Given
    served = serve((r"^/", WaitingPage))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    gevent.idle()
    # When
    served.mongrel2.leaves()
    go_on["/slow"].set()
    # Then
    assert served.mongrel2.reads_nothing()


def test_the_handler_for_who_has_gone_is_ended(serve: Serve) -> None:
    # Given
    ended: Queue[BaseException] = Queue()

    def waits(*_: Any) -> None:
        try:
            Event().wait()
        except BaseException as error:
            ended.put(error)
            raise

    served = serve((r"^/", waits))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    gevent.idle()
    # When
    served.mongrel2.leaves()
    # Then
    assert isinstance(ended.get(timeout=10), gevent.GreenletExit)


def test_what_waits_behind_the_request_of_who_has_gone_is_not_begun(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    served = serve((r"^/", WaitingPage))
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    served.mongrel2.asks("/behind")
    gevent.idle()
    # When
    served.mongrel2.leaves()
    go_on["/slow"].set()
    # Then
    assert served.mongrel2.reads_nothing()
    assert "/behind" not in go_on


def test_the_leave_of_a_stranger_is_never_answered(page: FakeMongrel2) -> None:
    page.leaves(conn_id=99)
    assert page.reads_nothing()
    page.asks("/next")
    assert page.reads().content == b"/next"


def test_a_leave_that_a_browser_made_up_is_a_method_nobody_has(page: FakeMongrel2) -> None:
    page.asks("/", "JSON")
    answer = page.reads()
    assert answer.status == 405
    assert "Allow: GET, HEAD, OPTIONS" in answer.headers


# Always an answer


@pytest.mark.parametrize("message", [b"", b"nonsense", b"ident 7 / 3:abc,0:,", b"\xff" * 100])
def test_a_message_that_is_none_is_counted_and_the_next_one_answered(
    serve: Serve, message: bytes
) -> None:
    served = serve((r"^/", Page))
    served.mongrel2.starts()
    served.mongrel2.pushes(message)
    assert served.connection.dropped.total() == 1
    served.mongrel2.asks("/next")
    assert served.mongrel2.reads().content == b"/next"


def test_a_handler_that_takes_too_long_is_answered_with_504_and_once(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    served = serve((r"^/slow", WaitingPage), (r"^/", Page), request_timeout=0.05)
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    # Then
    assert served.mongrel2.reads().status == 504
    # When the handler is ready after all
    go_on["/slow"].set()
    # Then
    assert served.mongrel2.reads_nothing()
    served.mongrel2.asks("/next")
    assert served.mongrel2.reads().content == b"/next"


class SorryInPieces(WebMessageHandler):
    """Streams its error pages."""

    def render_error(self, status_code: int, *_args: Any, **_kwargs: Any) -> Any:
        self.set_body(iter(["sorry"]), status_code=status_code)
        return self.render()


def test_a_late_answer_is_whole_where_the_error_page_is_streamed(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    slow = type("Slow", (WaitingPage, SorryInPieces), {})
    served = serve((r"^/", slow), base_handler=SorryInPieces, request_timeout=0.05)
    served.mongrel2.starts()
    # When
    served.mongrel2.asks(headers={"VERSION": "HTTP/1.1"})
    # Then
    answer = served.mongrel2.reads()
    assert (answer.status, answer.content) == (504, b"504 Gateway Timeout\n")
    assert "Content-Length: 20" in answer.headers
    assert served.mongrel2.reads_nothing()
    assert not served.connection._browsers


def test_a_stream_that_is_cut_does_not_look_whole_where_the_error_page_is_streamed(
    serve: Serve,
) -> None:
    # Given
    class Stream(SorryInPieces):
        def get(self) -> Any:
            self.set_body(self.pieces())
            return self.render()

        def pieces(self) -> Iterator[str]:
            yield "half of it"
            Event().wait()

    served = serve((r"^/", Stream), base_handler=SorryInPieces, request_timeout=0.05)
    served.mongrel2.starts()
    # When
    served.mongrel2.asks(headers={"VERSION": "HTTP/1.1"})
    # Then
    assert served.mongrel2.reads().status == 200
    assert served.mongrel2.reads().body == b"a\r\nhalf of it\r\n"
    assert served.mongrel2.reads().body == b"", "it is closed, without a last chunk"
    assert served.mongrel2.reads_nothing()


def test_a_timeout_that_a_handler_which_failed_left_running_does_not_hit_the_next_request(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    left: list[gevent.Timeout] = []

    class Forgets(WebMessageHandler):
        def get(self) -> Any:
            left.append(gevent.Timeout.start_new(0.05))
            raise ValueError("before it was closed")

    served = serve((r"^/forgets", Forgets), (r"^/", WaitingPage))
    served.mongrel2.starts()
    served.mongrel2.asks("/forgets", conn_id=1)
    assert served.mongrel2.reads().status == 500
    # When
    served.mongrel2.asks("/next", conn_id=2)
    gevent.idle()
    eventually(lambda: not left[0].pending, "the timeout has fired", seconds=10)
    go_on["/next"].set()
    # Then
    answer = served.mongrel2.reads()
    assert (answer.status, answer.content) == (200, b"/next")


UNSENDABLE = {
    "a line break in a header": Response(302, "Found", {"Location": "/\r\nSet-Cookie: a=1"}),
    "a line break in the status": Response(200, "OK\r\nSet-Cookie: a=1"),
    "a header beyond latin-1": Response(200, "OK", {"X-Price": "€"}),
    "a header that is a number": Response(200, "OK", {"X-Count": 5}),  # type: ignore[dict-item]
    "a header that is nothing": Response(200, "OK", {"X-Nothing": None}),  # type: ignore[dict-item]
    "a name that is a number": Response(200, "OK", {5: "x"}),  # type: ignore[dict-item]
    "no headers at all": Response(200, "OK", None),  # type: ignore[arg-type]
    "no body at all": Response(200, "OK", {}, None),  # type: ignore[arg-type]
    "a body of text": Response(200, "OK", {}, "Hello"),  # type: ignore[arg-type]
    "no status text": Response(200, None),  # type: ignore[arg-type]
    "a status of text": Response("200", "OK"),  # type: ignore[arg-type]
    "a status nobody knows": Response(999, "Unknown"),
}


@pytest.mark.parametrize("response", UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_is_answered_with_500(serve: Serve, response: Response) -> None:
    # Given
    served = serve((r"^/bad", returns(response)), (r"^/", Page))
    served.mongrel2.starts()
    # When
    served.mongrel2.asks("/bad")
    # Then
    answer = served.mongrel2.reads()
    assert (answer.status, answer.content) == (500, b"500 Internal Server Error\n")
    assert not [line for line in answer.headers if line.startswith("Set-Cookie")]
    served.mongrel2.asks("/next")
    assert served.mongrel2.reads().content == b"/next"


def test_the_span_of_an_answer_that_cannot_be_sent_says_what_was_sent(serve: Serve) -> None:
    tracing = FakeTracing()
    bad = UNSENDABLE["a header that is a number"]
    served = serve((r"^/bad", returns(bad)), (r"^/", Page), tracing=tracing)
    served.mongrel2.starts()

    for path in ("/bad", "/good"):
        served.mongrel2.asks(path)
        served.mongrel2.reads()

    assert tracing.ended == [500, 200]


@pytest.mark.parametrize("name", ["x-mongrel2-upload-start", "x-mongrel2-upload-done"])
def test_a_forged_upload_is_a_bad_request_that_no_handler_sees(serve: Serve, name: str) -> None:
    made: list[str] = []

    class Witness(Page):
        def initialize(self) -> None:
            made.append("a handler")

    served = serve((r"^/", Witness))
    served.mongrel2.starts()
    served.mongrel2.asks(headers={name: "/etc/passwd"})
    assert served.mongrel2.reads().status == 400
    assert made == []


def test_a_request_beyond_the_limit_is_refused_with_503(
    serve: Serve, go_on: dict[str, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given as many requests in hand as may be
    monkeypatch.setattr("brubeck.mongrel2_connection.MAX_IN_HAND", 2)
    served = serve((r"^/", WaitingPage))
    served.mongrel2.starts()
    for conn_id in (1, 2):
        served.mongrel2.asks(f"/{conn_id}", conn_id=conn_id)
    gevent.idle()
    # When
    served.mongrel2.asks("/3", conn_id=3)
    # Then
    answer = served.mongrel2.reads()
    assert (answer.conn_ids, answer.status) == (["3"], 503)
    go_on["/1"].set()
    assert served.mongrel2.reads().conn_ids == ["1"]
    served.mongrel2.asks("/1", conn_id=4)
    assert served.mongrel2.reads().status == 200


def test_an_answer_is_logged_with_its_request_id(
    page: FakeMongrel2, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    page.asks("/hello")
    headers = dict(line.split(": ", 1) for line in page.reads().headers)
    (record,) = [record for record in caplog.records if "replied" in record.getMessage()]
    assert re.fullmatch(r"replied GET /hello 200 in \d+ ms", record.getMessage())
    assert vars(record)["request_id"] == headers["X-Request-ID"]


# The end


def test_a_connection_that_is_stopped_takes_no_requests_and_answers_those_in_hand(
    serve: Serve, go_on: dict[str, Event]
) -> None:
    # Given
    served = serve((r"^/", WaitingPage), drain_timeout=10.0)
    served.mongrel2.starts()
    served.mongrel2.asks("/slow")
    gevent.idle()
    # When
    served.connection.stop()
    gevent.idle()
    # Then
    assert served.mongrel2.sockets[PULL].closed
    assert not served.mongrel2.sockets[PUB].closed
    go_on["/slow"].set()
    assert served.mongrel2.reads().content == b"/slow"
    served.running.get(timeout=10)
    assert served.mongrel2.sockets[PUB].closed


def test_a_mongrel2_that_comes_while_the_connection_stops_is_not_listened_to(
    serve: Serve,
) -> None:
    served = serve((r"^/", Page))
    served.connection.stop()
    served.mongrel2.starts()
    assert PULL not in served.mongrel2.sockets

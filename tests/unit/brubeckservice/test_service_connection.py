"""What becomes of a call at a service, without the sockets that it came by."""

from typing import Any

import gevent

from brubeckservice import protocol
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.outbox import Outbox
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.service_connection import ServiceConnection, _Caller
from tests.unit.brubeck.fakes import FakeTracing, brubeck


class Price(ServiceMessageHandler):
    """Answers what the request says, or what no message can hold."""

    def request(self) -> Any:
        self.add_to_payload("price", self.message.get_argument("price", object()))
        return self.render(200)


class UnboundConnection(ServiceConnection):
    """Opens no socket: calls come from the test."""

    def _open(self) -> None:
        self.heard: list[bytes] = []
        self.caller = _Caller(Outbox(self._hear))

    def _hear(self, frame: bytes) -> bool:
        self.heard.append(frame)
        return True

    def close(self) -> None:
        """Nothing is open."""

    def take(self, request: ServiceRequest) -> ServiceResponse:
        """A call comes; the answer that the caller gets."""
        self._start(self.caller, request)
        gevent.idle()
        [answer], _ = protocol.read_from_service(self.heard.pop())
        assert isinstance(answer, ServiceResponse)
        return answer


def test_a_service_that_stops_tells_who_is_there_though_it_finds_that_others_have_gone() -> None:
    connection = UnboundConnection("tcp://127.0.0.1:9000", "a passphrase")
    running = gevent.spawn(connection.recv_forever_ever, brubeck())
    gevent.idle()

    def find_that_it_has_gone(_: bytes) -> bool:
        connection._forget(b"gone")
        return True

    connection._callers[b"gone"] = gone = _Caller(Outbox(find_that_it_has_gone))
    connection._callers[b"there"] = connection.caller
    connection.stop()
    gone.outbox.append(b"1" * 4090)  # with one word more it is sent before the turn is over
    running.get(timeout=5)

    assert list(connection._callers) == [b"there"]
    assert connection.heard == [b'[["pong",0,0,true]]']


def test_the_span_of_a_response_that_cannot_be_sent_says_what_was_sent() -> None:
    connection, tracing = UnboundConnection("tcp://127.0.0.1:9000", "a passphrase"), FakeTracing()
    application = brubeck(("^/price$", Price))
    application.tracing = tracing  # type: ignore[assignment]
    running = gevent.spawn(connection.recv_forever_ever, application)
    gevent.idle()

    answers = [
        connection.take(ServiceRequest(1, 5000, "/price")),
        connection.take(ServiceRequest(2, 5000, "/price", body={"price": "a" * 2**20})),
        connection.take(ServiceRequest(3, 5000, "/price", body={"price": 7})),
    ]
    connection.stop()
    running.get(timeout=5)

    assert [answer.status_code for answer in answers] == [500, 413, 200]
    assert tracing.ended == [500, 413, 200]

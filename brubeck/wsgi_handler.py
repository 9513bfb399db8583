"""gevent's side of an HTTP connection, with an end to every wait for the other side."""

from typing import Any

from gevent.pywsgi import WSGIHandler


class ImpatientHandler(WSGIHandler):
    """Closes a connection whose other side neither sends nor takes what it is to."""

    idle = 60.0
    """Seconds that it may take for its next request, a part of it, or a piece of an answer."""

    def handle(self) -> None:
        """As `WSGIHandler.handle`."""
        self.socket.settimeout(self.idle)
        super().handle()

    # gevent would log a traceback for either.

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        """As `WSGIHandler.handle_error`, but nothing is wrong here where a browser stalls."""
        if isinstance(v, TimeoutError):
            self.close_connection = True
        else:
            super().handle_error(t, v, tb)

    def _handle_client_error(self, ex: Exception) -> Any:
        if isinstance(ex, TimeoutError):
            return None
        return super()._handle_client_error(ex)  # type: ignore[misc]  # of gevent since 1.1

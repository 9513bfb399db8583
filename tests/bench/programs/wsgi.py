"""The pages of the peers that live in a WSGI server: / calls their service, /plain does not."""

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

PAYLOAD = {"text": "x" * 59}
SERVICE = os.environ.get("SERVICE", "")
HOST, PORT = urlsplit(SERVICE).hostname or "", urlsplit(SERVICE).port or 0


def pages(call: Callable[[dict[str, str]], dict[str, str]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI application."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = PAYLOAD if environ["PATH_INFO"] == "/plain" else call(PAYLOAD)
        body = answer["text"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return app

"""The names Brubeck's users import from here; the code is in the files named for it."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

from brubeck.application import Brubeck
from brubeck.handlers import MessageHandler
from brubeck.response import http_response
from brubeck.web_handlers import JSONMessageHandler, WebMessageHandler, render

__all__ = [
    "Brubeck",
    "JSONMessageHandler",
    "MessageHandler",
    "WebMessageHandler",
    "http_response",
    "render",
]

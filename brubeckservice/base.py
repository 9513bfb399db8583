"""The names Brubeck Services' users import; the code is in the files named for it."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

from gevent import sleep as coro_sleep

from brubeckservice.client import ServiceClientMixin
from brubeckservice.client_connection import ServiceClientConnection
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
    ServiceUnavailable,
)
from brubeckservice.handlers import ServiceMessageHandler
from brubeckservice.protocol import ServiceRequest, ServiceResponse
from brubeckservice.service_connection import ServiceConnection

__all__ = [
    "ServiceAuthError",
    "ServiceClientConnection",
    "ServiceClientMixin",
    "ServiceConnection",
    "ServiceError",
    "ServiceLost",
    "ServiceMessageHandler",
    "ServiceProtocolError",
    "ServiceRefused",
    "ServiceRequest",
    "ServiceResponse",
    "ServiceTimeout",
    "ServiceUnavailable",
    "coro_sleep",
]

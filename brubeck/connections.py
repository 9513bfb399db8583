"""The names Brubeck's users import from here; the code is in the files named for it."""

import brubeck.cooperative  # noqa: F401, I001  # first: nothing may keep an unpatched module

from brubeck.connection import Connection
from brubeck.mongrel2_connection import Mongrel2Connection
from brubeck.wsgi_connection import WSGIConnection

__all__ = ["Connection", "Mongrel2Connection", "WSGIConnection"]

"""Brubeck on Python 3: the part of the web framework that Brubeck Services build on.

Importing this package does nothing. Importing `brubeck.connections` or
`brubeck.request_handling` makes the process cooperative (gevent's `patch_all`).
"""

__version__ = "0.1.0"

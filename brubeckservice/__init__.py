"""Calls between Brubeck instances over ZeroMQ. The names to import are in `brubeckservice.base`."""

__version__ = "0.1.0"

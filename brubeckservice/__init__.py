"""Calls between Brubeck instances over ZeroMQ. The names to import are in `brubeckservice.base`."""

"""Errors that know which status they become; `status_of` is the only place that decides it."""

from http import HTTPStatus


class StatusError(Exception):
    """An error with a status (100-599) of its own; its text may be shown to the peer."""

    status_code: int = 500


class BadRequest(StatusError):
    """The peer sent what cannot be understood."""

    status_code = 400


class NothingRendered(Exception):
    """A handler returned something that is no rendered output: a mistake in the handler."""


def status_of(error: BaseException) -> int:
    """The status an error becomes: its own if it has one, otherwise 500."""
    return error.status_code if isinstance(error, StatusError) else 500


def phrase_of(status_code: int) -> str:
    """The usual text of a status (RFC 9110, section 15), or an empty one."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""

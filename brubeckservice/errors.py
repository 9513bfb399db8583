"""How a call can fail: one typed error each, with the status a browser gets for it.

ServiceError
├── ServiceUnavailable    503  nobody there                            not executed
├── ServiceRefused        503  draining or overloaded                  not executed
├── ServiceTimeout        504  no answer in time                       may have run
├── ServiceLost           502  connection or process died meanwhile    may have run
├── ServiceAuthError      502  the passphrases differ                  not executed
└── ServiceProtocolError  502  an answer about another path            may have run
"""

from brubeck.errors import StatusError


class ServiceError(StatusError):
    """A call without a response. `may_have_run`: whether the handler may have been executed."""

    status_code = 502
    may_have_run: bool = False


class ServiceUnavailable(ServiceError):
    """No replica of the service is there."""

    status_code = 503


class ServiceRefused(ServiceError):
    """The service, or the caller's own bound, has no room for the call; or it is stopping."""

    status_code = 503


class ServiceTimeout(ServiceError):
    """No answer came within the call's timeout.

    Its `may_have_run` is False if there was no time left to send it.
    """

    status_code = 504
    may_have_run = True


class ServiceLost(ServiceError):
    """The connection to the replica ended with the call in hand."""

    status_code = 502
    may_have_run = True


class ServiceAuthError(ServiceError):
    """The service knows another passphrase."""

    status_code = 502


class ServiceProtocolError(ServiceError):
    """The service answered about another path, or speaks no common version.

    Its `may_have_run` is False in the second case: the call was not sent.
    """

    status_code = 502
    may_have_run = True

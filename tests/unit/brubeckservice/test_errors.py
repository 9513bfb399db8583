import pytest

from brubeck.errors import status_of
from brubeckservice.errors import (
    ServiceAuthError,
    ServiceError,
    ServiceLost,
    ServiceProtocolError,
    ServiceRefused,
    ServiceTimeout,
    ServiceUnavailable,
)

TABLE = [
    (ServiceUnavailable, 503, "not executed"),
    (ServiceRefused, 503, "not executed"),
    (ServiceTimeout, 504, "may have run"),
    (ServiceLost, 502, "may have run"),
    (ServiceAuthError, 502, "not executed"),
    (ServiceProtocolError, 502, "may have run"),
]


@pytest.mark.parametrize(("kind", "status", "harm"), TABLE)
def test_each_error_has_its_status_and_tells_whether_the_call_may_have_run(
    kind: type[ServiceError], status: int, harm: str
) -> None:
    error = kind("what happened")

    assert status_of(error) == status
    assert error.may_have_run == (harm == "may have run")
    assert str(error) == "what happened"


def test_these_are_all_and_one_word_catches_them() -> None:
    assert set(ServiceError.__subclasses__()) == {kind for kind, *_ in TABLE}

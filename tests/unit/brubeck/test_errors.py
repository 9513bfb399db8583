import pytest

from brubeck.errors import BadRequest, NothingRendered, StatusError, phrase_of, status_of


class Teapot(StatusError):
    status_code = 418


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest("what?"), 400),
        (Teapot("short and stout"), 418),
        (StatusError("of no kind"), 500),
        (ValueError("a mistake"), 500),
        (NothingRendered("a mistake"), 500),
        (GeneratorExit(), 500),
    ],
    ids=repr,
)
def test_an_error_becomes_its_own_status_or_500(error: BaseException, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("status", "phrase"), [(200, "OK"), (404, "Not Found"), (504, "Gateway Timeout"), (599, "")]
)
def test_known_statuses_have_their_usual_text(status: int, phrase: str) -> None:
    assert phrase_of(status) == phrase

import re

from brubeck.request_ids import new_request_id
from tests.unit.brubeck.programs import output_of


def test_request_ids_are_unique() -> None:
    names = {new_request_id() for _ in range(1000)}
    assert len(names) == 1000


def test_request_ids_are_short_and_plain() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{1,8}", new_request_id())


def test_processes_give_different_names() -> None:
    program = "from brubeck.request_ids import new_request_id; print(new_request_id())"
    first, second = output_of(program), output_of(program)
    assert first != second
    assert first.endswith("-1\n")

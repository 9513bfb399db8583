"""The ledger of the chaos tests finds what is wrong, and nothing else."""

import pytest

from tests.chaos.ledger import Entry, Execution, Told, disagreements


def entry(told: Told, *, idempotent: bool = False, answer_to: str = "a") -> Entry:
    return Entry("a", idempotent, 0.0, 1.0, told, told, answer_to)


def executed(times: int, id_: str = "a") -> list[Execution]:
    return [Execution(id_, "host", 0.5)] * times


@pytest.mark.parametrize(
    ("told", "idempotent", "times"),
    [
        ("answered", False, 1),
        ("answered", True, 1),
        ("answered", True, 3),
        ("not executed", False, 0),
        ("maybe", False, 0),
        ("maybe", False, 1),
        ("maybe", True, 3),
    ],
)
def test_it_says_nothing_where_the_caller_was_told_the_truth(
    told: Told, idempotent: bool, times: int
) -> None:
    assert disagreements([entry(told, idempotent=idempotent)], executed(times)) == []


@pytest.mark.parametrize(
    ("told", "idempotent", "times", "fault"),
    [
        ("answered", False, 0, "answered, but never executed"),
        ("answered", False, 2, "executed 2 times"),
        ("answered", True, 4, "executed 4 times"),
        ("not executed", False, 1, "executed, though its caller was told that it was not"),
        ("not executed", True, 1, "executed, though its caller was told that it was not"),
        ("maybe", False, 2, "executed 2 times"),
        ("nothing", False, 1, "its caller was never told anything"),
    ],
)
def test_it_says_what_is_wrong(told: Told, idempotent: bool, times: int, fault: str) -> None:
    (found,) = disagreements([entry(told, idempotent=idempotent)], executed(times))

    assert found.endswith(fault)


def test_it_finds_an_answer_that_belongs_to_somebody_else() -> None:
    (found,) = disagreements([entry("answered", answer_to="b")], executed(1))

    assert found.endswith("its caller got another one's answer")


def test_it_finds_what_nobody_issued() -> None:
    assert disagreements([], executed(1, "b")) == ["b was executed but never issued"]

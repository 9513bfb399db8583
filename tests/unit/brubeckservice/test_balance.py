"""LeastBusy, told by a model too simple to be wrong: a list, searched from end to end."""

from collections.abc import Collection
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from brubeckservice.balance import LeastBusy

ITEMS = st.sampled_from("abcdef")


class AgainstTheModel(RuleBasedStateMachine):
    """Among equals, whoever has stood at a load longest is next."""

    def __init__(self) -> None:
        super().__init__()
        self.balance: LeastBusy[str] = LeastBusy()
        self.model: dict[str, tuple[int, int]] = {}  # load, and since when
        self.time = count()

    def put(self, item: str, load: int) -> None:
        self.model[item] = (load, next(self.time))

    @rule(item=ITEMS, load=st.integers(0, 5))
    def add(self, item: str, load: int) -> None:
        self.balance.add(item, load)
        self.put(item, load)

    @rule(item=ITEMS)
    def discard(self, item: str) -> None:
        self.balance.discard(item)
        self.model.pop(item, None)

    @rule()
    def take(self) -> None:
        expected = min(self.model, key=self.model.__getitem__, default=None)
        assert self.balance.take() == expected
        if expected is not None:
            self.put(expected, self.model[expected][0] + 1)

    @rule(avoid=st.sets(ITEMS))
    def take_avoiding(self, avoid: Collection[str]) -> None:
        taken = self.balance.take(avoid)
        loads = [load for item, (load, _) in self.model.items() if item not in avoid]
        if taken is None:
            assert not loads
        else:
            assert taken not in avoid
            assert self.model[taken][0] == min(loads)
            self.put(taken, self.model[taken][0] + 1)

    @rule(item=ITEMS)
    def give_back(self, item: str) -> None:
        self.balance.give_back(item)
        if item in self.model:
            self.put(item, self.model[item][0] - 1)

    @invariant()
    def has_as_many_items(self) -> None:
        assert len(self.balance) == len(self.model)


AgainstTheModel.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, database=None
)
TestAgainstTheModel = AgainstTheModel.TestCase


def test_nobody_is_taken_where_nobody_is() -> None:
    assert LeastBusy[str]().take() is None


def test_equals_are_taken_in_turn() -> None:
    balance = LeastBusy[str]()
    for item in "abc":
        balance.add(item)

    taken = [balance.take() for _ in range(6)]

    assert taken == ["a", "b", "c", "a", "b", "c"]


def test_the_least_busy_is_taken_first() -> None:
    balance = LeastBusy[str]()
    balance.add("idle", load=0)
    balance.add("busy", load=3)

    taken = [balance.take() for _ in range(5)]

    assert taken == ["idle", "idle", "idle", "busy", "idle"]


def test_who_is_given_back_is_less_busy() -> None:
    balance = LeastBusy[str]()
    for item in "ab":
        balance.add(item)
    assert [balance.take() for _ in range(4)] == ["a", "b", "a", "b"]

    balance.give_back("b")

    assert balance.take() == "b"


def test_who_was_tried_is_not_taken_again_while_there_is_another() -> None:
    balance = LeastBusy[str]()
    balance.add("idle", load=0)
    balance.add("busy", load=9)

    assert balance.take(avoid=["idle"]) == "busy"
    assert balance.take(avoid=["idle", "busy"]) is None

"""The least busy first, and in turn among equals. No I/O.

Items stand in levels, one for each load; taking an item moves it up one level. So a choice
costs the same for two replicas and for two hundred.
"""

from collections.abc import Container, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class LeastBusy(Generic[T]):
    """Items with a load each: the number of times they were taken and not given back."""

    def __init__(self) -> None:
        self._loads: dict[T, int] = {}
        self._levels: dict[int, dict[T, None]] = {}  # dictionaries, as ordered sets
        self._lowest = 0

    def __len__(self) -> int:
        return len(self._loads)

    def add(self, item: T, load: int = 0) -> None:
        """Let an item be chosen from now on."""
        self.discard(item)
        self._put(item, load)

    def discard(self, item: T) -> None:
        """Choose an item no more; nothing happens if it is not there."""
        if item in self._loads:
            self._remove(item)
            if self._lowest not in self._levels:
                self._lowest = min(self._levels, default=0)

    def take(self, avoid: Container[T] = ()) -> T | None:
        """The item with the lowest load, which grows by one; None if there is no item."""
        item = next(iter(self._levels.get(self._lowest, ())), None)
        if item in avoid:
            others = (other for other in self._loads if other not in avoid)
            item = min(others, key=self._loads.__getitem__, default=None)
        if item is None:
            return None
        load = self._remove(item)
        self._put(item, load + 1)
        if self._lowest not in self._levels:
            self._lowest = load + 1  # where the item itself now is
        return item

    def give_back(self, item: T) -> None:
        """The load of an item shrinks by one; nothing happens if it is not there."""
        if item in self._loads:
            load = self._remove(item)
            self._put(item, load - 1)
            self._lowest = min(self._lowest, load - 1)

    def _put(self, item: T, load: int) -> None:
        self._lowest = min(self._lowest, load) if self._loads else load
        self._loads[item] = load
        self._levels.setdefault(load, {})[item] = None

    def _remove(self, item: T) -> int:
        load = self._loads.pop(item)
        level = self._levels[load]
        del level[item]
        if not level:
            del self._levels[load]
        return load

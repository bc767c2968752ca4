"""Things that clients leave with the server: kept in memory, up to a bound."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Store(Generic[T]):
    """Values under their ids, newest last. When it is full, the oldest go."""

    def __init__(self, most: int = 10_000, most_bytes: int | None = None) -> None:
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def put(self, key: str, value: T, size: int = 0) -> None:
        """Keep a value that takes so many bytes."""
        self.drop(key)
        self._values[key] = (value, size)
        self._bytes += size
        while len(self._values) > self._most or (
            self._most_bytes is not None
            and self._bytes > self._most_bytes
            and len(self._values) > 1
        ):
            _, (_, freed) = self._values.popitem(last=False)
            self._bytes -= freed

    def get(self, key: str) -> T | None:
        """Return a value, None if there is none."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def drop(self, key: str) -> bool:
        """Forget a value; return whether there was one."""
        found = self._values.pop(key, None)
        if found is None:
            return False
        self._bytes -= found[1]
        return True

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
        self._bytes = 0

    def newest_first(self) -> Iterator[T]:
        """Yield the values, the newest first."""
        for value, _ in reversed(list(self._values.values())):
            yield value

    def __len__(self) -> int:
        return len(self._values)

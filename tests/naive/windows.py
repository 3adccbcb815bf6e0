"""Windows over plain lists: every read goes through everything that ever arrived for the key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .algebra import RECORD_OF, ZERO, Record, add, fold, fold_records, value

#: A value of the language: None is missing, every number and truth is a float, a time is milliseconds.
Value = float | str | None
Key = tuple[float | str, ...]

POINTS = ("first", "last", "lag", "since_last")
UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def milliseconds(span: str) -> int:
    """Return how long "10m" is."""
    number = span.rstrip("msdhw")
    return int(number) * UNITS[span[len(number) :]]


@dataclass(frozen=True)
class Item:
    """One value that arrived: when in the order of arrival, as of what time (epoch ms), and what."""

    arrival: int
    time: int
    value: float | str


@dataclass
class Window:
    """One aggregate over one span, and all that it was ever given, by key.

    Parameters
    ----------
    kind
        count, sum, mean, min, max, var, std, first, last, lag or since_last.
    span
        Length in ms with `tiles` or exact; how many values of the newest; or "forever"; None for a point aggregate.
    """

    kind: str
    span: int | None = None
    how: str = "tiles"
    tiles: int = 60
    offset: int = 0
    k: int = 1
    items: dict[Key, list[Item]] = field(default_factory=dict)

    def add(self, key: Key | None, item: Item) -> None:
        """Take in a value of a key; with a missing key there is no state."""
        if key is not None:
            self.items.setdefault(key, []).append(item)

    def read(self, key: Key | None, moment: int, before: int) -> Value:
        """Return the window's value for a key as of a moment, from what arrived before arrival number `before`.

        With a missing key every window is missing, count and sum too.
        """
        if key is None:
            return None
        items = [item for item in self.items.get(key, []) if item.arrival < before]
        if self.kind in POINTS:
            return self._point(items, moment)
        record = RECORD_OF[self.kind]
        return value(self.kind, self._record(record, items, moment))

    def _point(self, items: list[Item], moment: int) -> Value:
        """Point aggregates go by arrival: what time the values are dated plays no part."""
        if self.kind == "first":
            return items[0].value if items else None
        if self.kind == "since_last":
            return max(float(moment - items[-1].time), 0.0) / 1000.0 if items else None
        k = self.k if self.kind == "lag" else 1
        return items[-k].value if len(items) >= k else None

    def _record(self, record: str, items: list[Item], moment: int) -> Record:
        if self.how == "forever":
            return fold(record, [number(item.value) for item in items])
        if self.span is None:
            message = f"{self.kind} has no span"
            raise ValueError(message)
        if self.how == "last":
            return fold(record, [number(item.value) for item in items[-self.span :]])
        if self.how == "exact":
            return fold(record, [number(item.value) for item in self._exact(items, self.span, moment)])
        return fold_records(record, self._tiles(record, items, self.span, moment))

    def _exact(self, items: list[Item], length: int, moment: int) -> list[Item]:
        """Times in (moment - length - offset, moment - offset], by (time, arrival)."""
        near = moment - self.offset
        inside = [item for item in items if near - length < item.time <= near]
        return sorted(inside, key=lambda item: (item.time, item.arrival))

    def _tiles(self, record: str, items: list[Item], length: int, moment: int) -> list[Record]:
        """Records of the tiles that the window covers, oldest first; each was added to in the order of arrival.

        A tile is s = ceil(length / tiles) ms; the tile of time t is floor(t / s); the offset is o = floor((offset +
        floor(s / 2)) / s) tiles; covered are the tiles floor((moment - length) / s) - o .. floor(moment / s) - o.
        """
        s = -(-length // self.tiles)
        o = (self.offset + s // 2) // s
        by_tile: dict[int, Record] = {}
        for item in items:
            tile = item.time // s
            by_tile[tile] = add(record, by_tile.get(tile, ZERO[record]), number(item.value))
        oldest, newest = (moment - length) // s - o, moment // s - o
        return [by_tile[tile] for tile in sorted(by_tile) if oldest <= tile <= newest]


def number(x: Any) -> float:
    """Return x, which must be a number here."""
    if not isinstance(x, float):
        message = f"{x!r} is no number"
        raise TypeError(message)
    return x

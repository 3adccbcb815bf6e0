"""Columns of texts: UTF-8 for the symbol table, Python texts only for those who ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.table import gather_text

I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
#: Bytes of texts one after the other, and where each ends (-1 - end for a missing one).
Utf8 = tuple[U1, I8]


class Texts(Mapping[str, list[str | None]]):
    """Texts by field; None is missing.

    Parameters
    ----------
    lists
        Columns that are there already.
    block
        UTF-8 bytes, of those that are not.
    places
        int64[n, 3] by field: where a text begins in the block, its length (-1 for a missing one), a word of no use. A
        quote stands after each text and in none.

    Examples
    --------
    >>> block = np.frombuffer(bytearray(b'["ab", "c"]'), np.uint8)
    >>> texts = Texts({}, block, {"name": np.array([[2, 2, 0], [8, 1, 0], [0, -1, 0]])})
    >>> texts["name"], texts.utf8("name")[1].tolist()
    (['ab', 'c', None], [2, 3, -4])
    """

    __slots__ = ("_block", "_lists", "_places")

    def __init__(
        self, lists: dict[str, list[str | None]], block: U1 | None = None, places: dict[str, I8] | None = None
    ) -> None:
        self._lists, self._places = lists, places or {}
        self._block = np.zeros(1, np.uint8) if block is None else block

    def __getitem__(self, name: str) -> list[str | None]:
        found = self._lists.get(name)
        if found is None:
            found = self._lists[name] = self._read(self._places[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places or self._lists)

    def __len__(self) -> int:
        return len(self._places or self._lists)

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._lists

    def only(self, names: Iterable[str]) -> Texts:
        """Return some of the columns."""
        lists = {name: self._lists[name] for name in names if name in self._lists}
        return Texts(lists, self._block, {name: self._places[name] for name in names if name in self._places})

    def utf8(self, name: str) -> Utf8:
        """Return a column as bytes."""
        places = self._places.get(name)
        if places is None:
            return utf8(self._lists[name])
        missing = places[:, 1] < 0
        if not missing.any():
            return gathered(self._block, places)
        there = places.copy()
        there[missing, 1] = 0
        raw, ends = gathered(self._block, there)
        ends[missing] = -1 - ends[missing]
        return raw, ends

    def codes(self, name: str, intern: Callable[[U1, I8], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the code of each text of a column; `intern` gives those of texts as bytes."""
        return intern(*self.utf8(name))

    def _read(self, places: I8) -> list[str | None]:
        quoted = places.copy()
        quoted[:, 1] += 1  # the quote after it; nothing of a missing one
        raw, _ = gathered(self._block, quoted)
        texts: list[str | None] = raw.tobytes().decode().split('"')[:-1]  # type: ignore[assignment]
        if len(texts) == len(places):
            return texts
        known = iter(texts)
        return [next(known) if there else None for there in (places[:, 1] >= 0).tolist()]


def gathered(block: U1, places: I8) -> Utf8:
    """Return block[begin:begin + length] of each place, one after the other, and where each ends."""
    out = np.empty(int(places[:, 1].sum()) + 1, np.uint8)
    ends = np.empty(len(places), np.int64)
    gather_text(np.arange(len(places)), block, places, out, ends)
    return out[:-1], ends


def utf8(texts: Sequence[str | None]) -> Utf8:
    """Return a list of texts as bytes."""
    missing = None in texts
    present = ["" if text is None else text for text in texts] if missing else texts
    joined = "".join(present)  # type: ignore[arg-type]
    if joined.isascii():
        raw = bytearray(joined, "ascii")
        lengths = np.fromiter(map(len, present), np.int64, len(present))  # type: ignore[arg-type]
    else:
        parts = [text.encode("utf-8", "surrogatepass") for text in present]  # type: ignore[union-attr]
        raw = bytearray().join(parts)
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    ends = lengths.cumsum()
    if missing:
        absent = np.fromiter((text is None for text in texts), np.bool_, len(texts))
        ends[absent] = -1 - ends[absent]
    return (np.frombuffer(raw, np.uint8) if raw else np.zeros(1, np.uint8)), ends

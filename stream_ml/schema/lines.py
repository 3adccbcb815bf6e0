"""Records in one block of memory: cut, picked and put in another order without touching their bytes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
NEWLINE = 10


class Block(Sequence[bytes]):
    """Records that stand together, however they are laid out; one by one they are bytes."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it compares as a list does

    @abstractmethod
    def take(self, at: I8) -> Block:
        """Return the records at these places, in this order."""

    @classmethod
    @abstractmethod
    def joined(cls, parts: Sequence[Self]) -> Block | None:
        """Return the records of all parts, one part after the other; None where they cannot stand together."""


class Lines(Block):
    """Records as places in a block; one by one they are bytes.

    Parameters
    ----------
    block
        The bytes, which nobody changes.
    begins, ends
        int64[n]: record i is block[begins[i]:ends[i]].

    Examples
    --------
    >>> lines = Lines.split(b"one,two,three".replace(b",", bytes([NEWLINE])))
    >>> lines[1], len(lines), list(lines[1:]), list(lines.take(np.array([2, 0])))
    (b'two', 3, [b'two', b'three'], [b'three', b'one'])
    """

    __slots__ = ("begins", "block", "ends")

    def __init__(self, block: bytearray, begins: I8, ends: I8) -> None:
        self.block, self.begins, self.ends = block, begins, ends

    @classmethod
    def split(cls, block: bytes) -> Lines:
        """Return the lines of a block; the last one needs no line feed."""
        own = bytearray(block)
        found = np.flatnonzero(np.frombuffer(own, np.uint8) == NEWLINE)
        return cls(own, np.append(0, found + 1), np.append(found, len(own)))

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Lines:
        """Return records one after the other in a block."""
        if isinstance(values, Lines):
            return values
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        ends = lengths.cumsum()
        return cls(bytearray().join(values), ends - lengths, ends)

    @property
    def text(self) -> NDArray[np.uint8]:
        """The block, uint8."""
        return np.frombuffer(self.block or bytearray(1), np.uint8)

    def __len__(self) -> int:
        return self.ends.size

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Lines: ...
    def __getitem__(self, at: int | slice) -> bytes | Lines:
        if isinstance(at, slice):
            begins, ends = self.begins[at], self.ends[at]
            if not ends.size:
                return Lines(bytearray(), begins, ends)
            first, last = int(begins.min()), int(ends.max())
            if not first and last == len(self.block):
                return Lines(self.block, begins, ends)
            return Lines(self.block[first:last], begins - first, ends - first)
        with memoryview(self.block) as view:
            return bytes(view[self.begins[at] : self.ends[at]])

    def __iter__(self) -> Iterator[bytes]:
        block = bytes(self.block)
        return (block[begin:end] for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True))

    def together(self) -> bytes | memoryview:
        """Return all records' bytes, one after the other."""
        if not len(self) or (self.begins[1:] != self.ends[:-1]).any():
            return b"".join(self)
        return memoryview(self.block)[self.begins[0] : self.ends[-1]]

    def take(self, at: I8) -> Lines:
        """Return the records at these places, in this order."""
        return Lines(self.block, self.begins.take(at), self.ends.take(at))

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Return the records of all parts, one part after the other."""
        shifts = np.cumsum([0, *(len(one.block) for one in parts)])
        begins = np.concatenate([one.begins + shift for one, shift in zip(parts, shifts, strict=False)])
        ends = np.concatenate([one.ends + shift for one, shift in zip(parts, shifts, strict=False)])
        return Lines(bytearray().join(one.block for one in parts), begins, ends)


class Mixed(Block):
    """Records of several sequences in one order.

    Parameters
    ----------
    parts
        The sequences.
    which, at
        int64[n]: record i is parts[which[i]][at[i]].

    Examples
    --------
    >>> mixed = Mixed([[b"a", b"b"], [b"c"]], np.array([0, 1, 0]), np.array([0, 0, 1]))
    >>> list(mixed), list(mixed.take(np.array([0, 2])))
    ([b'a', b'c', b'b'], [b'a', b'b'])
    """

    __slots__ = ("at", "parts", "which")

    def __init__(self, parts: Sequence[Sequence[bytes]], which: I8, at: I8) -> None:
        self.parts, self.which, self.at = parts, which, at

    def __len__(self) -> int:
        return self.which.size

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Mixed: ...
    def __getitem__(self, at: int | slice) -> bytes | Mixed:
        if isinstance(at, slice):
            return Mixed(self.parts, self.which[at], self.at[at])
        return self.parts[int(self.which[at])][int(self.at[at])]

    def __iter__(self) -> Iterator[bytes]:
        parts = [list(part) for part in self.parts]
        return (parts[i][j] for i, j in zip(self.which.tolist(), self.at.tolist(), strict=True))

    def take(self, at: I8) -> Block:
        """Return the records at these places, in this order; where they are all of one layout, in that."""
        which, place = self.which.take(at), self.at.take(at)
        used = np.flatnonzero(np.bincount(which, minlength=len(self.parts)))
        parts = [self.parts[i] for i in used.tolist()]
        whole = _together(parts)
        if whole is None:
            return Mixed(self.parts, which, place)
        starts = np.zeros(len(self.parts), np.int64)
        starts[used] = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return whole.take(starts.take(which) + place)

    @classmethod
    def joined(cls, parts: Sequence[Mixed]) -> None:
        """Give none: what is mixed is joined part by part."""


def joined(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """Return the records of all parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    whole = _together(parts)
    if whole is not None:
        return whole
    if not any(isinstance(part, Block) for part in parts):
        return [value for part in parts for value in part]
    sizes = [len(part) for part in parts]
    at = np.concatenate([np.arange(size) for size in sizes])
    return Mixed(parts, np.repeat(np.arange(len(parts)), sizes), at)


def _together(parts: Sequence[Sequence[bytes]]) -> Block | None:
    """Return the records of all parts in one block, None where they are not laid out alike."""
    first = parts[0] if parts else None
    if not isinstance(first, Block) or not all(type(part) is type(first) for part in parts):
        return None
    return first if len(parts) == 1 else type(first).joined(parts)  # type: ignore[arg-type]  # all of its type


def taken(values: Sequence[bytes], at: I8) -> Sequence[bytes]:
    """Return the records at these places, in this order."""
    return values.take(at) if isinstance(values, Block) else [values[i] for i in at.tolist()]

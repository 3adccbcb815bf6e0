"""Records in one block of memory: cut, picked and put in another order without touching their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
NEWLINE = 10


class Lines(Sequence[bytes]):
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it compares as a list does

    def together(self) -> bytes | memoryview:
        """Return all records' bytes, one after the other."""
        if not len(self) or (self.begins[1:] != self.ends[:-1]).any():
            return b"".join(self)
        return memoryview(self.block)[self.begins[0] : self.ends[-1]]

    def take(self, at: I8) -> Lines:
        """Return the records at these places, in this order."""
        return Lines(self.block, self.begins[at], self.ends[at])


def joined(parts: Sequence[Sequence[bytes]]) -> Sequence[bytes]:
    """Return the records of all parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, Lines) for part in parts):
        return [value for part in parts for value in part]
    lines = [Lines.of(part) for part in parts]
    shifts = np.cumsum([0, *(len(one.block) for one in lines)])
    begins = np.concatenate([one.begins + shift for one, shift in zip(lines, shifts, strict=False)])
    ends = np.concatenate([one.ends + shift for one, shift in zip(lines, shifts, strict=False)])
    return Lines(bytearray().join(one.block for one in lines), begins, ends)


def taken(values: Sequence[bytes], at: I8) -> Sequence[bytes]:
    """Return the records at these places, in this order."""
    return values.take(at) if isinstance(values, Lines) else [values[i] for i in at.tolist()]

"""A cut through the scorer's state: all as it stood between two turns, packed slice by slice while turns go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.schema.symbols import Symbols
from stream_ml.sessions.codec import Seal, encode, seal
from stream_ml.sessions.parts import Part, Rows

I8 = NDArray[np.int64]
#: Bytes of rows in one part, before compression: what a pause between two turns may pack; where no turn waits, more.
SLICE, UNDISTURBED = 1 << 19, 1 << 24
#: Rows packed at once.
ROWS = 8_192
#: Rows packed first, before it is known how long they are.
_FIRST = 64
#: Looks at marks after which a part is closed though it is small: what was looked at took time, too.
_LOOKS = 8
#: Parts that may stand in memory before they are compressed.
_STANDING = 32


class Cut:
    """Parts of a state at the moment this was made.

    Rows are made due, which is cheap. :meth:`parts` packs them a slice a step; between two steps turns may be fed, and
    rows that a turn changes while they are due are packed before they change.

    Parameters
    ----------
    rows
        Every kind of rows.
    small
        What is not rows; it is encoded at once and comes last.
    everything
        Whether all rows are packed, or those that changed since the last cut.
    slice_bytes
        Bytes of rows in a part: what a step packs.
    """

    def __init__(
        self, rows: list[Rows], symbols: Symbols, small: dict[str, Any], *, everything: bool, slice_bytes: int
    ) -> None:
        self._ready = _Ready()
        self._small = encode(small)
        self._gathered = [_Gathered(one, symbols, self._ready, slice_bytes) for one in rows]
        for one in self._gathered:
            one.rows.begin(one.copy, everything=everything)

    def parts(self) -> Iterator[Seal]:
        """Yield parts, a slice of the state a step."""
        for one in self._gathered:
            looks = 0
            while not one.rows.done:
                while self._ready:
                    yield self._ready.take()
                    looks = 0
                one.step()
                looks += 1
                if looks == _LOOKS and not self._ready:
                    one.close()
        for one in self._gathered:
            while self._ready:
                yield self._ready.take()
            if not one.empty:
                one.close()
        while self._ready:
            yield self._ready.take()
        yield partial(seal, self._small)


class _Ready:
    """Parts that wait to be taken, the oldest first; of many all but the newest are compressed."""

    def __init__(self) -> None:
        self._parts: deque[Seal] = deque()

    def __len__(self) -> int:
        return len(self._parts)

    def put(self, encoded: bytes) -> None:
        """Put a part in."""
        self._parts.append(partial(seal, encoded))
        if len(self._parts) > _STANDING:
            self._parts[-1 - _STANDING] = partial(bytes, self._parts[-1 - _STANDING]())

    def take(self) -> Seal:
        """Return the oldest part."""
        return self._parts.popleft()


class _Gathered:
    """Rows of one kind on their way into parts."""

    def __init__(self, rows: Rows, symbols: Symbols, ready: _Ready, slice_bytes: int) -> None:
        self.rows = rows
        self._symbols, self._ready, self._slice = symbols, ready, slice_bytes
        self._part = Part(rows.head, symbols)
        self._bytes_each = slice_bytes // _FIRST + 1

    def step(self) -> None:
        """Pack the next due rows, at most about what the part has room for."""
        self._add(self.rows.take(self._room()))

    def copy(self, rows: I8, *more: I8) -> None:
        """Pack rows that are due and about to change."""
        done = 0
        while done < rows.size:
            upto = done + self._room()
            self._add(rows[done:upto], *(one[done:upto] for one in more))
            done = upto

    @property
    def empty(self) -> bool:
        """Whether the part holds nothing."""
        return self._part.rows == 0

    def close(self) -> None:
        """Let the part go as it is."""
        if self.empty:
            self._pack(np.zeros(0, np.int64))
        self._ready.put(encode(self._part.whole()))
        self._part = Part(self.rows.head, self._symbols)

    def _room(self) -> int:
        return min(max((self._slice - self._part.nbytes) // self._bytes_each, 1), ROWS)

    def _add(self, rows: I8, *more: I8) -> None:
        if rows.size:
            before = self._part.nbytes
            self._pack(rows, *more)
            self._bytes_each = max((self._part.nbytes - before) // rows.size, 1)
            if 16 * self._part.nbytes >= 15 * self._slice:
                self.close()

    def _pack(self, rows: I8, *more: I8) -> None:
        self._part.add(self.rows.columns(self._part.texts, rows, *more), rows.size)

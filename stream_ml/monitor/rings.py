"""One slab of words that holds every group's ring of newest labels; rings double as they fill, up to N."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_ml.kernels import metrics

#: Room of a group's first ring.
FIRST = 64


class Rings:
    """Rings by group inside one array: `lengthen` when a kernel asks for it, `slab` for the kernels.

    A ring that outgrew its place leaves it to the next ring of that size; a group's rings never take more than 16 N
    bytes (32 N while the slab itself was just doubled, and little more for the block sums of errors).

    Parameters
    ----------
    dtype
        Type of a word: int64 packed labels, or float64 errors.
    last
        N, the longest ring.
    """

    def __init__(self, dtype: type[np.int64] | type[np.float64], last: int) -> None:
        self.slab: np.ndarray[Any, np.dtype[Any]] = np.zeros(1024, dtype)
        self._last = last
        self._end = 0
        self._free: dict[int, list[int]] = {}

    def _words(self, room: int) -> int:
        return room + 2 * (room // metrics.BLOCK + 2) if self.slab.dtype == np.float64 else room

    def _take(self, room: int) -> int:
        if self._free.get(room):
            return self._free[room].pop()
        place = self._end
        self._end += self._words(room)
        if self._end > len(self.slab):
            longer = np.zeros(max(self._end, 2 * len(self.slab)), self.slab.dtype)
            longer[:place] = self.slab[:place]
            self.slab = longer
        return place

    def lengthen(self, place: int, room: int) -> tuple[int, int]:
        """Give the ring at `place` of `room` labels (0: none yet) twice its room; returns its new place and room."""
        larger = min(max(2 * room, FIRST), self._last)
        new = self._take(larger)
        self.slab[new : new + room] = self.slab[place : place + room]
        if self.slab.dtype == np.float64 and room:
            blocks = self._words(room) - room
            self.slab[new + larger : new + larger + blocks] = self.slab[place + room : place + room + blocks]
        if room:
            self._free.setdefault(room, []).append(place)
        return new, larger

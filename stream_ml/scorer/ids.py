"""Which event has which id: a hash table that grows without a pause."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.waiting import enter_all, leave_all

I8 = NDArray[np.int64]
#: Events that enter the next table for each that comes.
_PACE = 3
#: Rows of it that are emptied at once, before: a page of 2 MB, whose first touch takes up to some milliseconds.
_PART = 1 << 17


class Ids:
    """The id of every event in the ring, and its sequence number.

    From when the table is a quarter full the next one, twice as long, is laid beside it, and takes its place before it
    is half full. Laid at once, a million ids would stop a turn for a quarter of a second.

    Parameters
    ----------
    rows
        Of the first table, a power of two.
    """

    def __init__(self, rows: int) -> None:
        self.table: I8 = _empty(rows)
        self._next: I8 | None = None
        self._blank = self._begin = self._end = self._head = 0

    @property
    def nbytes(self) -> int:
        """Bytes in use, the next table's too."""
        return self.table.nbytes + (0 if self._next is None else self._next.nbytes)

    def make_room(self, ring: I8, tail: int, head: int, more: int) -> None:
        """See that `more` events fit besides those that stand in the ring from tail to head - 1.

        To be called before each call of the join, which may add so many at most: what has left the ring since then
        must still stand in it.
        """
        size, held = self.table.shape[0], head - tail + more
        if 2 * (held + 1) > size:  # more at once than could be foreseen
            self.table, self._next = _empty(power(2 * (held + 1))), None
            enter_all(ring, self.table, tail, head)
        elif self._next is None and 4 * held > size:
            self._next, self._blank = np.empty((2 * size, 2), np.int64), 0
        elif self._next is not None and self._blank < 2 * size:
            self._next[self._blank : self._blank + _PART] = 0
            self._blank += _PART
            self._begin, self._end, self._head = tail, tail, head
        elif self._next is not None:
            self._lay(self._next, ring, tail, head)

    def _lay(self, table: I8, ring: I8, tail: int, head: int) -> None:
        leave_all(ring, table, self._begin, min(tail, self._end))
        begin = max(tail, self._end)
        self._end = min(head, begin + _PACE * (head - self._head))
        enter_all(ring, table, begin, self._end)
        self._begin, self._head = tail, head
        if self._end == head:
            self.table, self._next = table, None


def power(n: int) -> int:
    """Return the least power of two that is not below n, at least 2."""
    return 1 << max(int(n) - 1, 1).bit_length()


def _empty(rows: int) -> I8:
    return np.zeros((rows, 2), np.int64)

"""Look-up tables: slowly changing rows, the newest arrival of a key wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_ml.features import marks as row_marks
from stream_ml.features.spec import TableSpec, TableStep
from stream_ml.kernels import keys as key_kernels
from stream_ml.kernels import moves, table
from stream_ml.kernels.memory import grown, reserve

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
#: The role of a table's own row.
UPDATE = 2


class Lookup:
    """The rows of one table and the look-ups made in it."""

    def __init__(self, spec: TableSpec, step: TableStep) -> None:
        self.spec = spec
        self.width = len(spec.keys)
        self._own_keys = np.array(spec.keys, np.int64)
        self._own_columns = np.array(spec.columns, np.int64)
        self._read_keys = np.array([read[0] for read in step.reads], np.int64).reshape(len(step.reads), self.width)
        self._reads = np.array([read[1:] for read in step.reads], np.int64).reshape(len(step.reads), 2)
        self._slots = np.zeros(1 << 8, np.int64)
        self._stored: I8 = reserve(self.width << 8, np.int64)
        self._values: F8 = reserve(max(len(spec.columns), 1) << 8, np.float64)
        self._marks: NDArray[np.uint8] = reserve(1 << 8, np.uint8)
        self._counts = np.zeros(1, np.int64)
        self._copy: row_marks.Copy | None = None

    def __len__(self) -> int:
        return int(self._counts[0])

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return 8 * (len(self) * (self.width + len(self.spec.columns)) + self._slots.size)

    def run(self, registers: F8, words: I8, roles: NDArray[np.uint8], rows: int) -> None:
        """Go through a turn's updates (role 2) and look-ups (role 1) in order."""
        if self._copy is not None:
            self._copy_due(registers[:, :rows], roles, self._copy)
        done = 0
        while done < rows:
            done = moves.look_up(
                registers, words, self._own_keys, self._own_columns, self._read_keys, self._reads, roles, self._slots,
                self._stored, self._values, self._marks, self._counts, done, rows,
            )  # fmt: skip
            if done < rows:
                self._grow(2 * len(self) + 2)

    def _copy_due(self, registers: F8, roles: NDArray[np.uint8], copy: row_marks.Copy) -> None:
        """Hand over the due rows that the turn's updates will change."""
        words = registers[self._own_keys[:, None], np.flatnonzero(roles == UPDATE)].T
        due = row_marks.met(self._marks, self._locate(words))
        if due.size:
            copy(due)

    def _locate(self, words: F8) -> I8:
        """Return the row of each key [n, width], -1 where there is none."""
        rows = np.zeros(words.shape[0], np.int64)
        key_kernels.locate(_flat(words), self.width, self._slots, self._stored, rows)
        return rows

    def _grow(self, rows: int) -> None:
        size = self._slots.size
        while 2 * (rows + 1) > size:
            size *= 2
        if size > self._slots.size:
            slots = np.zeros(size, np.int64)
            table.refill_words(slots, self._stored, np.ones(max(len(self), 1), np.uint8), self.width, len(self))
            self._slots = slots
        self._stored = grown(self._stored, self.width * (size // 2))
        self._values = grown(self._values, max(len(self.spec.columns), 1) * (size // 2))
        self._marks = grown(self._marks, size // 2)

    def changed(self) -> I8:
        """Return the rows that changed since the last snapshot began."""
        return row_marks.changed(self._marks[: len(self)])

    def begin_snapshot(self, copy: row_marks.Copy, *, everything: bool) -> None:
        """Make rows due, all or those that changed; `copy` is handed those that are about to change while due."""
        marks = self._marks[: len(self)]
        if everything:
            row_marks.make_all_due(marks, np.ones(marks.size, np.uint8))
        else:
            row_marks.make_due(marks)
        self._copy = copy

    def take_due(self, begin: int, limit: int) -> tuple[I8, int | None]:
        """Return up to `limit` due rows from `begin` on and where to go on, None at the end, which ends a snapshot."""
        rows, end = row_marks.take(self._marks[: len(self)], begin, limit)
        if end < len(self):
            return rows, end
        self._copy = None
        return rows, None

    def live(self) -> I8:
        """Return all rows."""
        return np.arange(len(self), dtype=np.int64)

    def clear_marks(self) -> None:
        """Call every row clean."""
        self._marks[: len(self)] = 0

    def pack(self, rows: I8) -> tuple[F8, F8]:
        """Return (keys [n, width], values [n, columns]) of these rows."""
        count, columns = len(self), len(self.spec.columns)
        words = self._stored[: self.width * count].view(np.float64).reshape(count, self.width)
        return words[rows], self._values[: columns * count].reshape(count, columns)[rows]

    def unpack(self, words: F8, values: F8) -> None:
        """Lay rows down, in place of what these keys held."""
        columns = len(self.spec.columns)
        rows = self._locate(words)
        fresh = np.flatnonzero(rows < 0)
        if fresh.size:
            first = len(self)
            self._grow(first + int(fresh.size) + 1)
            rows[fresh] = first + np.arange(fresh.size)
            used = np.zeros(first + int(fresh.size), np.uint8)
            nothing = np.zeros(0, np.float64)
            some = _flat(words[fresh])
            key_kernels.settle(some, self.width, first, self._slots, self._stored, used, nothing, nothing)
            self._counts[0] += fresh.size
        self._values[: columns * len(self)].reshape(-1, columns)[rows] = values

    def codes(self) -> Sequence[NDArray[np.generic]]:
        """Return the symbol codes held in keys and values."""
        words, values = self.pack(self.live())
        held = [words[:, j] for j, text in enumerate(self.spec.key_texts) if text]
        return held + [values[:, j] for j, text in enumerate(self.spec.column_texts) if text]


def _flat(words: F8) -> I8:
    """Return keys as int64 words, one after the other; there is one zero."""
    return np.ascontiguousarray(words + 0.0).view(np.int64).reshape(-1)

"""Rows of the scorer's state as columns of a part: those of key spaces, of look-up tables, of the ring of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_ml.features.lookup import Lookup
from stream_ml.features.space import Keyed, Marks
from stream_ml.kernels import operations
from stream_ml.kernels.waiting import R_DIRTY, R_ON, R_RECEIVED, R_SLOT, R_STATE, R_WORD, WAITING
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.machine import Scorer
from stream_ml.sessions.codec import Dictionary
from stream_ml.sessions.values import words

I8 = NDArray[np.int64]
#: Marks of the ring: changed before the snapshot under way began, or if there is none; changed and copied since.
CHANGED, LATER = 1, 2
#: Ring rows whose marks are looked at at once.
_WINDOW = 1 << 15

Copy = Callable[..., None]


class Part:
    """One part, filled piece by piece; codes become texts as they come in, so that symbols may go meanwhile."""

    def __init__(self, head: Mapping[str, Any], symbols: Symbols) -> None:
        self.texts = Dictionary(symbols)
        self.rows = 0
        self._bytes = 0
        self._head = head
        self._columns: dict[str, list[NDArray[Any]]] = {}

    def add(self, columns: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Take in columns of so many rows whose texts were given places in :attr:`texts`."""
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        self.rows += rows
        self._bytes += sum(column.nbytes for column in columns.values())

    @property
    def nbytes(self) -> int:
        """Bytes of what was taken in."""
        return self._bytes + self.texts.nbytes

    def whole(self) -> dict[str, Any]:
        """Return the part."""
        columns = {name: np.concatenate(pieces) for name, pieces in self._columns.items()}
        return {**self._head, **columns, "texts": self.texts.texts}


class Rows(Protocol):
    """Rows of one kind.

    Order of calls: :meth:`live` and :meth:`columns` at any time; for a snapshot :meth:`begin`, which says to whom rows
    are given that are due and about to change, then :meth:`take` until :attr:`done`.
    """

    head: dict[str, Any]
    done: bool

    def live(self) -> I8:
        """Return all rows."""

    def begin(self, copy: Copy, *, everything: bool) -> None:
        """Make rows due: all, or those that changed since a snapshot last began."""

    def take(self, limit: int) -> I8:
        """Return the next due rows, which are due no more; few are looked at, so there may be none yet."""

    def columns(self, texts: Dictionary, rows: I8, *more: I8) -> dict[str, NDArray[Any]]:
        """Return rows as columns; `more` is what came with them when they were given to `copy`."""


class _Stored:
    """Rows of a key space or of a look-up table."""

    def __init__(self, head: dict[str, Any], store: Keyed | Lookup) -> None:
        self.head = head
        self.done = False
        self._store = store
        self._at = 0

    def live(self) -> I8:
        """Return all rows."""
        return self._store.live()

    def begin(self, copy: Copy, *, everything: bool) -> None:
        """Make rows due."""
        self._store.begin_snapshot(copy, everything=everything)

    def take(self, limit: int) -> I8:
        """Return the next due rows, which are due no more."""
        rows, at = self._store.take_due(self._at, limit)
        self._at, self.done = at or 0, at is None
        return rows


class SpaceRows(_Stored):
    """Rows of a key space, their windows as a reader at `marks` sees them."""

    def __init__(self, number: int, space: Keyed, marks: Marks) -> None:
        super().__init__({"part": "space", "i": number}, space)
        self._space, self._marks = space, marks
        self._keys = tuple(np.flatnonzero(space.spec.texts).tolist())
        self._fixed = tuple(space.texts)

    def columns(self, texts: Dictionary, rows: I8, *_: I8) -> dict[str, NDArray[Any]]:
        """Return rows as columns."""
        keys, fixed, packed, sizes = self._space.pack(rows, self._marks)
        return {
            "keys": texts.pack(keys, self._keys), "fixed": texts.pack(fixed, self._fixed),
            "packed": packed, "sizes": sizes,
        }  # fmt: skip


class TableRows(_Stored):
    """Rows of a look-up table."""

    def __init__(self, number: int, table: Lookup) -> None:
        super().__init__({"part": "table", "i": number}, table)
        self._table = table
        self._keys = tuple(np.flatnonzero(table.spec.key_texts).tolist())
        self._columns = tuple(np.flatnonzero(table.spec.column_texts).tolist())

    def columns(self, texts: Dictionary, rows: I8, *_: I8) -> dict[str, NDArray[Any]]:
        """Return rows as columns."""
        keys, values = self._table.pack(rows)
        return {"keys": texts.pack(keys, self._keys), "values": texts.pack(values, self._columns)}


class RingRows:
    """Events that wait or are remembered, by sequence number.

    A row that waits stays as it is until its wait ends, and rows go in their order: so a snapshot is the rows from the
    ring's tail to its head when it began, and what must be copied aside is what the join has just ended, and what it
    has let go at the tail. Both still stand in the ring and in their slots after a call of the join.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.head = {"part": "ring"}
        self.done = False
        self._scorer, self._store = scorer, scorer.store
        spec = scorer.spec
        self._id_text = spec.id is not None and spec.id.kind == "text"
        self._begin, self._end = self._ends()

    def _ends(self) -> tuple[int, int]:
        """Return the ring's tail and head."""
        return int(self._store.scalars[operations.TAIL]), int(self._store.scalars[operations.HEAD])

    def _places(self, seqs: I8) -> I8:
        places: I8 = seqs & (self._store.ring.shape[0] - 1)
        return places

    def live(self) -> I8:
        """Return all rows."""
        return np.arange(*self._ends(), dtype=np.int64)

    def begin(self, copy: Copy, *, everything: bool) -> None:
        """Make rows due: those in the ring now."""
        self._copy, self._everything = copy, everything
        self._store.copy = self._joined

    def _joined(self, seqs: I8, slots: I8) -> None:
        """Give away what is due of the events whose wait the join has just ended, and of those it let go."""
        due = (seqs >= self._begin) & (seqs < self._end)
        if due.any():
            self._copy(seqs[due], slots[due])
            self._store.ring[self._places(seqs[due]), R_DIRTY] = LATER
        tail, _ = self._ends()
        while self._begin < min(tail, self._end):
            self._copy(self._next(tail, _WINDOW))

    def take(self, limit: int) -> I8:
        """Return the next due rows, which are due no more."""
        rows = self._next(self._end, limit)
        self.done = self._begin >= self._end
        if self.done:
            self._store.copy = None
        return rows

    def _next(self, end: int, limit: int) -> I8:
        """Return up to `limit` due rows before `end`."""
        window = limit if self._everything else _WINDOW
        seqs = np.arange(self._begin, min(end, self._end, self._begin + window), dtype=np.int64)
        places, ring = self._places(seqs), self._store.ring
        marks = ring[places, R_DIRTY]
        due = np.flatnonzero(marks != LATER if self._everything else marks == CHANGED)[:limit]
        passed = int(due[-1]) + 1 if due.size == limit else seqs.size
        ring[places[:passed], R_DIRTY] = np.where(marks[:passed] == LATER, CHANGED, 0)
        self._begin += passed
        return seqs[due]

    def columns(self, texts: Dictionary, rows: I8, *more: I8) -> dict[str, NDArray[Any]]:
        """Return rows as columns; those given with their slots were waiting."""
        ring = self._store.ring[self._places(rows)]
        for slots in more:
            ring[:, R_STATE], ring[:, R_SLOT] = WAITING, slots
        kept = self._store.kept[ring[ring[:, R_STATE] == WAITING, R_SLOT]]
        return {
            "seqs": rows,
            "words": packed_words(texts, ring[:, R_WORD], text=self._id_text),
            "on": packed_words(texts, ring[:, R_ON], text=self._scorer.intake.on_text),
            "received": np.ascontiguousarray(ring[:, R_RECEIVED]),
            "state": np.ascontiguousarray(ring[:, R_STATE]),
            "kept": texts.pack(kept, self._scorer.spec.slot_texts),
        }


def rows_of(scorer: Scorer) -> list[Rows]:
    """Return every kind of rows of a scorer, as they stand now."""
    marks, features = scorer.marks(), scorer.features
    spaces = [SpaceRows(i, space, marks) for i, space in enumerate(features.spaces)]
    return [*spaces, *(TableRows(i, table) for i, table in enumerate(features.tables)), RingRows(scorer)]


def packed_words(texts: Dictionary, column: I8, *, text: bool) -> NDArray[Any]:
    """Return id or `on=` words as they are written down: places of texts, or the words themselves."""
    return texts.places(words(column)) if text else np.ascontiguousarray(column)

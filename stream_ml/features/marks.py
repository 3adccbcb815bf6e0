"""Marks of rows: which changed since the last snapshot began, and which the one under way still has to copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.keys import CHANGED, CLEAN, DUE

I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
#: Is handed rows that are due and about to change, once each; they are due no more.
Copy = Callable[[I8], None]
#: Marks that are looked at at once.
_WINDOW = 1 << 18


def changed(marks: U1) -> I8:
    """Return the rows that changed since the last snapshot began."""
    return np.flatnonzero(marks & CHANGED).astype(np.int64)


def make_due(marks: U1) -> None:
    """Begin a snapshot of what changed: those rows are due, and all are clean."""
    np.left_shift(marks & CHANGED, 1, out=marks)


def make_all_due(marks: U1, used: U1) -> None:
    """Begin a snapshot of everything: rows in use are due, and all are clean."""
    np.multiply(used, DUE, out=marks)


def take(marks: U1, begin: int, limit: int) -> tuple[I8, int]:
    """Return up to `limit` due rows from `begin` on, which are due no more, and where to go on; see few at once.

    Examples
    --------
    >>> marks = np.array([0, 2, 1, 3, 2], np.uint8)
    >>> take(marks, 0, 2)
    (array([1, 3]), 4)
    >>> marks
    array([0, 0, 1, 1, 2], dtype=uint8)
    """
    end = min(begin + _WINDOW, marks.size)
    rows = begin + np.flatnonzero(marks[begin:end] & DUE)[:limit]
    marks[rows] &= CHANGED
    return rows, int(rows[-1]) + 1 if rows.size == limit else end


def met(marks: U1, rows: I8) -> I8:
    """Return the due rows among these, -1 for none, in order and once each; they are due no more.

    Examples
    --------
    >>> marks = np.array([0, 2, 1, 3, 2], np.uint8)
    >>> met(marks, np.array([3, -1, 2, 1, 3]))
    array([1, 3])
    >>> marks
    array([0, 0, 1, 1, 2], dtype=uint8)
    """
    some = rows[rows >= 0]
    due = np.unique(some[(marks[some] & DUE) != CLEAN])
    marks[due] &= CHANGED
    return due

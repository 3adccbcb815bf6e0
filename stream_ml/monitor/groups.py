"""Which slice a record belongs to: values of slice columns to dense group numbers, at most so many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The group of all records.
OVERALL = 0
#: Not in any group of this column.
NONE = -1


class Groups:
    """Numbers the values of slice columns in order of their first sight, row by row.

    Group 0 is the whole; groups 1 to s hold, one a column, whatever came after `limit` values had got a number; the
    others are single values. So memory is bounded, and how records were batched is invisible.

    Parameters
    ----------
    columns
        Names of the slice columns.
    limit
        How many values, of all columns together, get a number of their own.

    Examples
    --------
    >>> groups = Groups(("country",), limit=2)
    >>> groups.numbers([["FR", "DE", None, "FR", "IT"]]).tolist()
    [[0, 2], [0, 3], [0, -1], [0, 2], [0, 1]]
    >>> [groups.slice(number) for number in range(4)]
    [None, ('country', None), ('country', 'FR'), ('country', 'DE')]
    """

    def __init__(self, columns: Sequence[str], limit: int) -> None:
        self.columns = tuple(columns)
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        self._known: list[dict[str | None, int]] = [{None: NONE} for _ in self.columns]
        self._slices: list[tuple[str, str | None] | None] = [None, *((name, None) for name in self.columns)]

    def numbers(self, values: Sequence[Sequence[str | None]]) -> NDArray[np.int64]:
        """Return the group numbers [n, 1 + s] of n records, given each column's n texts (None: missing).

        Raises
        ------
        ValueError
            When the columns are not as many as declared, or there are none to tell n from.
        """
        if not values or len(values) != len(self.columns):
            message = f"{len(values)} columns given for the slices {self.columns}"
            raise ValueError(message)
        n = len(values[0])
        numbers = np.empty((n, 1 + len(values)), np.int64)
        numbers[:, 0] = OVERALL
        for place, (known, column) in enumerate(zip(self._known, values, strict=True), start=1):
            numbers[:, place] = np.fromiter(map(known.get, column, repeat(OVERALL)), np.int64, n)
        if len(self._slices) < 1 + len(self.columns) + self._limit:
            self._admit(numbers, values)
        whole = numbers[:, 1:] == OVERALL
        if whole.any():
            numbers[:, 1:] += whole * np.arange(1, len(values) + 1)
        return numbers

    def _admit(self, numbers: NDArray[np.int64], values: Sequence[Sequence[str | None]]) -> None:
        """Give numbers to the values not seen before, row by row, while there is room; others stay OVERALL."""
        for row, place in zip(*(part.tolist() for part in np.nonzero(numbers[:, 1:] == OVERALL)), strict=True):
            value, known = values[place][row], self._known[place]
            if value not in known and len(self._slices) < 1 + len(self.columns) + self._limit:
                known[value] = len(self._slices)
                self._slices.append((self.columns[place], value))
            numbers[row, 1 + place] = known.get(value, OVERALL)

    def slice(self, number: int) -> tuple[str, str | None] | None:
        """Return a group's column and value; (column, None) for all later values of it; None for the whole."""
        return self._slices[number]

    def __len__(self) -> int:
        return len(self._slices)

    def save(self) -> dict[str, Any]:
        """Return the values in the order of their numbers."""
        own = [one for one in self._slices[1 + len(self.columns) :] if one is not None]
        return {"columns": list(self.columns), "slices": [[self.columns.index(name), value] for name, value in own]}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned.

        Raises
        ------
        ValueError
            When the state is of other columns or of more values than are allowed.
        """
        if tuple(state["columns"]) != self.columns or len(state["slices"]) > self._limit:
            message = f"saved groups are of the slices {state['columns']}, not of {list(self.columns)}"
            raise ValueError(message)
        self._clear()
        for place, value in state["slices"]:
            self._known[place][value] = len(self._slices)
            self._slices.append((self.columns[place], value))

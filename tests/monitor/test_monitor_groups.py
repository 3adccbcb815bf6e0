"""Slices to group numbers: order of first sight by row, at most so many, the same in any cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.monitor.groups import Groups
from tests.scale import examples


class Naive:
    """One record at a time, one column after the other."""

    def __init__(self, columns: int, limit: int) -> None:
        self.known: dict[tuple[int, str], int] = {}
        self.columns, self.limit = columns, limit

    def row(self, values: tuple[str | None, ...]) -> list[int]:
        found = [0]
        for place, value in enumerate(values):
            if value is not None and (place, value) not in self.known and len(self.known) < self.limit:
                self.known[place, value] = 1 + self.columns + len(self.known)
            found.append(-1 if value is None else self.known.get((place, value), 1 + place))
        return found


VALUE = st.one_of(st.none(), st.sampled_from("abcdefgh"))


@settings(max_examples=examples(200), deadline=None)
@given(
    rows=st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=40),
    limit=st.integers(0, 20),
    cuts=st.lists(st.integers(1, 39), max_size=4),
    saves=st.sets(st.integers(0, 4)),
)
def test_equals_the_naive_twin_in_any_cuts(
    rows: list[tuple[str | None, str | None]], limit: int, cuts: list[int], saves: set[int]
) -> None:
    naive, ours = Naive(2, limit), Groups(("x", "y"), limit)
    expected = [naive.row(row) for row in rows]
    found: list[list[int]] = []
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for place, (start, stop) in enumerate(itertools.pairwise(edges)):
        if place in saves:
            state = ours.save()
            ours = Groups(("x", "y"), limit)
            ours.load(state)
        found += ours.numbers(list(zip(*rows[start:stop], strict=True))).tolist()
    assert found == expected
    assert len(ours) == 3 + len(naive.known)
    for (place, value), number in naive.known.items():
        assert ours.slice(number) == (("x", "y")[place], value)


def test_numbers_are_ready_for_kernels() -> None:
    numbers = Groups(("x",), 5).numbers([["a", None, "b"]])
    assert numbers.dtype == np.int64
    assert numbers.flags.c_contiguous
    assert Groups(("x",), 5).numbers([[]]).shape == (0, 2)


def test_foreign_input_is_refused() -> None:
    groups = Groups(("x", "y"), 5)
    with pytest.raises(ValueError, match="1 columns given for the slices"):
        groups.numbers([["a"]])
    with pytest.raises(ValueError, match=r"saved groups are of the slices \['z'\], not of \['x', 'y'\]"):
        groups.load(Groups(("z",), 5).save())

"""Ids of events, against a dict, while their table is laid anew beside itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_ml.kernels.table import find
from stream_ml.kernels.waiting import R_WORD, enter_all, leave_all
from stream_ml.scorer.ids import Ids
from stream_ml.scorer.store import RING_COLUMNS

MOST = 16


class Joined:
    """Ids as the join uses them, and a dict: both are told who comes and who leaves."""

    def __init__(self) -> None:
        self.ids, self.twin = Ids(2 * MOST), dict[int, int]()
        self.ring = np.zeros((1 << 13, RING_COLUMNS), np.int64)
        self.tail = self.head = 0
        self.tables = 1

    def turn(self, come: int, leave: int) -> None:
        before = self.ids.table
        self.ids.make_room(self.ring, self.tail, self.head, MOST)
        self.tables += self.ids.table is not before
        table, gone = self.ids.table, min(self.tail + leave, self.head)
        leave_all(self.ring, table, self.tail, gone)
        for seq in range(self.tail, gone):
            del self.twin[self.word(seq)]
        self.tail = gone
        for seq in range(self.head, self.head + come):
            word = seq % 1_500  # one comes again once it is forgotten
            if word in self.twin:
                word = -seq - 1
            self.ring[seq & (len(self.ring) - 1), R_WORD] = word
            self.twin[word] = seq
        enter_all(self.ring, table, self.head, self.head + come)
        self.head += come

    def word(self, seq: int) -> int:
        return int(self.ring[seq & (len(self.ring) - 1), R_WORD])

    def told(self) -> dict[int, int]:
        return {int(word): int(seq) - 1 for word, seq in self.ids.table if seq}

    def found(self, word: int) -> int:
        at = find(self.ids.table, word)
        return -1 if at < 0 else int(self.ids.table[at, 1]) - 1


@given(st.lists(st.tuples(st.integers(0, MOST), st.integers(0, 2 * MOST)), max_size=60))
def test_any_coming_and_leaving(turns: list[tuple[int, int]]) -> None:
    joined = Joined()
    for come, leave in turns:
        joined.turn(come, leave)
        assert joined.told() == joined.twin
        assert all(joined.found(word) == seq for word, seq in joined.twin.items())


def test_growing_and_shrinking_is_by_doubling_and_never_at_once() -> None:
    joined = Joined()
    for i in range(900):
        joined.turn(MOST, 0 if i < 450 else MOST + 3)
        assert 2 * (joined.head - joined.tail) <= joined.ids.table.shape[0]
    assert joined.told() == joined.twin
    assert joined.ids.table.shape[0] == 1 << 15
    assert joined.tables == 11  # 32 rows, each twice as long as the one before


def test_more_at_once_than_could_be_foreseen() -> None:
    joined = Joined()
    joined.turn(MOST, 0)
    joined.ids.make_room(joined.ring, joined.tail, joined.head, 5_000)
    assert joined.ids.table.shape[0] == 1 << 14
    assert joined.told() == joined.twin

"""The twin's windows, algebra and hash against examples worked out by hand; times are seconds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import Item, Window
from tests.naive.algebra import RECORD_OF, fold, merge, value
from tests.naive.expr import splitmix64

SECOND = 1000


def window(kind: str, how: str = "tiles", span: int | None = 60, **more: Any) -> Window:
    """Return a window whose span is in seconds (a number of events for the last n)."""
    length = span if how == "last" or span is None else span * SECOND
    return Window(kind, length, how, **more)


def fill(w: Window, *dated: tuple[float, float]) -> Window:
    for arrival, (second, x) in enumerate(dated):
        w.add(("k",), Item(arrival, round(second * SECOND), x))
    return w


def read(w: Window, second: float, before: int = 99) -> Any:
    return w.read(("k",), round(second * SECOND), before)


class TestWindows:
    """A minute in sixty tiles of a second, unless said otherwise."""

    def test_the_far_edge_is_rounded_down_to_a_tile(self) -> None:
        # tiles   |39     |40     |41 ...         |100    |
        # events    39.9   40.0    41.0             100.0
        # read at 100.5: (40.5, 100.5] begins in tile 40
        w = fill(window("sum"), (39.9, 1.0), (40.0, 10.0), (41.0, 100.0), (100.0, 1000.0))
        assert read(w, 100.5) == 1110.0

    def test_the_near_edge_is_the_end_of_the_tile(self) -> None:
        w = fill(window("count"), (100.0, 1.0), (100.9, 1.0), (101.0, 1.0))
        assert read(w, 100.1) == 2.0

    def test_an_exact_window_is_open_at_its_far_and_closed_at_its_near_edge(self) -> None:
        w = fill(window("sum", "exact"), (40.0, 1.0), (40.001, 10.0), (100.0, 100.0), (100.001, 1000.0))
        assert read(w, 100.0) == 110.0

    def test_an_offset_shifts_whole_tiles(self) -> None:
        # 1.5 s of offset on tiles of 1 s is 2 tiles, 1.4 s is 1 tile
        dated = [(38.0, 1.0), (39.0, 10.0), (98.0, 100.0), (99.0, 1000.0), (100.0, 10000.0)]
        assert read(fill(window("sum", offset=1500), *dated), 100.0) == 111.0
        assert read(fill(window("sum", offset=1400), *dated), 100.0) == 1110.0

    def test_tiles_are_whole_milliseconds_rounded_up(self) -> None:
        # 100 ms in 7 tiles: 15 ms each; read at 200 ms: from tile floor(100 / 15) = 6, that is 90 ms, to 210 ms
        w = Window("count", 100, tiles=7)
        for arrival, ms in enumerate((89, 90, 209, 210)):
            w.add((), Item(arrival, ms, 1.0))
        assert w.read((), 200, 99) == 2.0

    def test_times_before_1970_lie_in_tiles_too(self) -> None:
        w = fill(window("count"), (-0.5, 1.0), (-1.0, 1.0), (-60.95, 1.0))
        assert read(w, -0.9) == 3.0
        assert read(w, -0.1) == 3.0
        assert read(w, 0.0) == 2.0

    def test_tiles_are_merged_oldest_first_and_filled_by_arrival(self) -> None:
        # tile 1 holds 1e16 then 1.0: the 1.0 is lost; tile 2 holds 1.0: (1e16) + 1.0
        w = fill(window("sum"), (2.0, 1.0), (1.0, 1e16), (1.5, 1.0))
        assert read(w, 3.0) == (0.0 + 1e16 + 1.0) + 1.0
        # by time with each event kept: 1e16, 1.0, 1.0
        w = fill(window("sum", "exact"), (2.0, 1.0), (1.0, 1.0), (1.5, 1e16))
        assert read(w, 3.0) == (1.0 + 1e16) + 1.0

    def test_the_last_n_go_by_arrival(self) -> None:
        w = fill(window("mean", "last", 2), (5.0, 100.0), (9.0, 1.0), (1.0, 2.0))
        assert read(w, 2.0) == 1.5
        assert read(w, 2.0, before=2) == 50.5

    def test_forever_forgets_nothing(self) -> None:
        assert read(fill(window("max", "forever", None), (0.0, 7.0), (1e6, 1.0)), 5.0) == 7.0

    def test_points_go_by_arrival(self) -> None:
        dated = [(5.0, 1.0), (9.0, 2.0), (1.0, 3.0)]
        found = {k: read(fill(window(k, span=None), *dated), 9.5) for k in ("first", "last", "lag", "since_last")}
        assert found == {"first": 1.0, "last": 3.0, "lag": 3.0, "since_last": 8.5}
        assert read(fill(window("lag", span=None, k=3), *dated), 9.5) == 1.0
        assert read(fill(window("lag", span=None, k=4), *dated), 9.5) is None
        assert read(fill(window("since_last", span=None), *dated), 0.5) == 0.0, "never below 0"

    def test_of_nothing_count_and_sum_are_zero_and_the_rest_missing(self) -> None:
        kinds = ("count", "sum", "mean", "min", "max", "var", "std", "first", "last", "lag", "since_last")
        found = {kind: read(window(kind), 0.0) for kind in kinds}
        assert found == {kind: 0.0 if kind in ("count", "sum") else None for kind in kinds}

    def test_a_missing_key_reads_missing_and_keeps_nothing(self) -> None:
        w = window("count")
        w.add(None, Item(0, 0, 1.0))
        assert w.read(None, 0, 99) is None
        assert w.items == {}

    def test_an_overflow_is_missing(self) -> None:
        assert read(fill(window("sum"), (1.0, 1e308), (1.0, 1e308)), 1.0) is None


NUMBERS = st.lists(st.integers(-100, 100).map(lambda n: n / 8), max_size=12)


class TestAlgebra:
    @given(NUMBERS, NUMBERS)
    def test_merging_is_adding(self, a: list[float], b: list[float]) -> None:
        for kind, record in RECORD_OF.items():
            whole = value(kind, fold(record, a + b))
            parts = value(kind, merge(record, fold(record, a), fold(record, b)))
            assert (parts is None) == (whole is None)
            assert whole is None or parts == pytest.approx(whole, rel=1e-9, abs=1e-6), kind

    def test_variance_is_the_samples(self) -> None:
        seen = fold("moments", [1.0, 2.0, 4.0])
        assert value("var", seen) == pytest.approx(7 / 3)
        assert value("std", seen) == pytest.approx((7 / 3) ** 0.5)
        assert value("var", fold("moments", [1.0])) is None


def test_the_hash_is_splitmixs_finaliser() -> None:
    # the first outputs of splitmix64 seeded with 0 are the finaliser of 1, 2, 3 golden gammas
    gamma = 0x9E3779B97F4A7C15
    found = [splitmix64(k * gamma) for k in (1, 2, 3)]
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]

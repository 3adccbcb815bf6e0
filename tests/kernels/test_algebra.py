"""The laws of every aggregate's algebra, once for all: zero, add, merge, value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_ml.kernels import algebra

KINDS = (algebra.COUNT, algebra.SUM, algebra.VAR, algebra.MINMAX)
READINGS = {
    algebra.COUNT: (algebra.READ_COUNT,),
    algebra.SUM: (algebra.READ_COUNT, algebra.READ_SUM, algebra.READ_MEAN),
    algebra.VAR: (algebra.READ_COUNT, algebra.READ_VAR, algebra.READ_STD),
    algebra.MINMAX: (algebra.READ_COUNT, algebra.READ_MIN, algebra.READ_MAX),
}
numbers = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), max_size=12)


def record(kind: int, xs: list[float]) -> np.ndarray:
    """Return the record of some values, added in order."""
    made = np.full(3, np.nan)
    algebra.zero(kind, made, 0)
    for x in xs:
        algebra.add(kind, made, 0, x)
    return made[: algebra.FIELDS[kind]]


def merged(kind: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a with b merged into it."""
    made = np.append(a, np.zeros(3))
    algebra.merge(kind, made, 0, np.append(b, np.zeros(3)), 0)
    return made[: algebra.FIELDS[kind]]


def readings(kind: int, made: np.ndarray) -> list[float]:
    """Return everything that can be read out of a record."""
    return [algebra.value(what, np.append(made, np.zeros(3)), 0) for what in READINGS[kind]]


def near(a: list[float], b: list[float]) -> bool:
    """Return whether two readings agree within rounding, missing ones together."""
    return all(
        (math.isnan(x) and math.isnan(y)) or math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@given(xs=numbers, ys=numbers)
def test_merge_of_two_records_is_the_record_of_both(kind: int, xs: list[float], ys: list[float]) -> None:
    both = merged(kind, record(kind, xs), record(kind, ys))
    assert near(readings(kind, both), readings(kind, record(kind, xs + ys)))


@pytest.mark.parametrize("kind", KINDS)
@given(xs=numbers, ys=numbers, x=st.integers(-1000, 1000).map(float))
def test_add_after_merge_is_merge_after_add(kind: int, xs: list[float], ys: list[float], x: float) -> None:
    added_last = np.append(merged(kind, record(kind, xs), record(kind, ys)), np.zeros(3))
    algebra.add(kind, added_last, 0, x)
    added_first = merged(kind, record(kind, xs), record(kind, [*ys, x]))
    assert near(readings(kind, added_last[: algebra.FIELDS[kind]]), readings(kind, added_first))


@pytest.mark.parametrize("kind", KINDS)
@given(xs=numbers)
def test_the_zero_is_neutral_to_the_last_bit(kind: int, xs: list[float]) -> None:
    made, zero = record(kind, xs), record(kind, [])
    assert merged(kind, made, zero).tobytes() == made.tobytes()
    assert merged(kind, zero, made).tobytes() == made.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@given(xs=numbers)
def test_readings_are_what_python_says(kind: int, xs: list[float]) -> None:
    read = dict(zip(READINGS[kind], readings(kind, record(kind, xs)), strict=True))
    assert read[algebra.READ_COUNT] == len(xs)
    if kind == algebra.SUM:
        assert read[algebra.READ_SUM] == sum(xs)
        assert math.isnan(read[algebra.READ_MEAN]) if not xs else read[algebra.READ_MEAN] == sum(xs) / len(xs)
    elif kind == algebra.MINMAX:
        expected = [min(xs), max(xs)] if xs else [math.nan, math.nan]
        assert near([read[algebra.READ_MIN], read[algebra.READ_MAX]], expected)
    elif kind == algebra.VAR:
        mean = sum(xs) / len(xs) if xs else 0.0
        var = sum((x - mean) ** 2 for x in xs) / (len(xs) - 1) if len(xs) > 1 else math.nan
        assert near([read[algebra.READ_VAR], read[algebra.READ_STD]], [var, math.sqrt(var) if xs[1:] else math.nan])


def test_a_sum_past_the_largest_double_reads_missing() -> None:
    assert math.isnan(readings(algebra.SUM, record(algebra.SUM, [1.7e308, 1.7e308]))[1])

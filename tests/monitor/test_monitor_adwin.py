"""ADWIN against river's, decision for decision; cuts; save and load; bad declarations."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import drift

from stream_ml.errors import DeclarationError
from stream_ml.kernels import jit
from stream_ml.monitor import spec as declared
from stream_ml.monitor.adwin import ADWIN, Drift
from tests.scale import examples, slow

SEED = 20_260_117


def _streams(n: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(SEED)
    steps = rng.random(n // 5_000 + 1)
    bits = (rng.random(n) < 0.2).astype(np.float64)
    slow = 0.2 + 0.1 * np.sin(np.arange(n) / 20_000)
    return {
        "stationary": rng.random(n),
        "constant": np.full(n, 0.25),
        "abrupt": np.repeat(steps, 5_000)[:n] + rng.standard_normal(n) * 0.2,
        "gradual": slow + rng.standard_normal(n) * 0.5,
        "bits": bits,
        "moving bits": (rng.random(n) < np.repeat(steps, 5_000)[:n]).astype(np.float64),
        "heavy tails": np.abs(rng.standard_cauchy(n)),
        "large": 1e12 + rng.standard_normal(n) * np.repeat(steps, 5_000)[:n],
    }


STREAMS = _streams(200_000)
SPECS = (
    declared.ADWIN(),
    declared.ADWIN(delta=0.3),
    declared.ADWIN(delta=1e-6, clock=7),
    declared.ADWIN(delta=0.05, clock=1, max_buckets=3, min_window_length=2, grace_period=0),
    declared.ADWIN(delta=0.01, clock=64, max_buckets=12, min_window_length=40, grace_period=500),
)


def _river(spec: declared.ADWIN) -> Any:
    detector: Any = drift.ADWIN  # river's own methods carry no types
    return detector(spec.delta, spec.clock, spec.max_buckets, spec.min_window_length, spec.grace_period)


def _of_river(
    spec: declared.ADWIN, values: NDArray[np.float64]
) -> tuple[list[int], list[tuple[float, float, float, float]]]:
    """Indexes at which river alarms, and its (width, total, variance, estimation) there and every 1,000 values."""
    witness = _river(spec)
    found: list[int] = []
    looks: list[tuple[float, float, float, float]] = []
    for i, value in enumerate(values.tolist()):
        witness.update(value)
        if witness.drift_detected:
            found.append(i)
        if i % 1_000 == 999 or witness.drift_detected:
            looks.append((float(witness.width), witness.total, witness.variance, witness.estimation))
    return found, looks


def _of_ours(
    spec: declared.ADWIN, values: NDArray[np.float64], looks_at: list[int]
) -> tuple[list[Drift], list[tuple[float, float, float, float]]]:
    ours = ADWIN(spec)
    found: list[Drift] = []
    looks: list[tuple[float, float, float, float]] = []
    start = 0
    for stop in looks_at:
        found += [one._replace(index=one.index + start) for one in ours.update(values[start:stop])]
        looks.append((float(ours.width), ours.total, ours.spread, ours.estimation))
        start = stop
    return found, looks


@pytest.mark.parametrize("spec", [*SPECS[:2], *slow(*SPECS[2:])], ids=str)
@pytest.mark.parametrize("name", STREAMS)
def test_equals_river(name: str, spec: declared.ADWIN) -> None:
    values = STREAMS[name]
    theirs, their_looks = _of_river(spec, values)
    looks_at = sorted({*range(1_000, len(values) + 1, 1_000), *(i + 1 for i in theirs)})
    ours, our_looks = _of_ours(spec, values, looks_at)
    assert [one.index for one in ours] == theirs
    assert our_looks == their_looks
    if name == "moving bits":
        assert len(theirs) > 10


@pytest.mark.slow
def test_equals_river_over_a_million() -> None:
    rng = np.random.default_rng(SEED + 1)
    values = (rng.random(1_000_000) < np.repeat(rng.random(20) * 0.3, 50_000)).astype(np.float64)
    theirs, _ = _of_river(declared.ADWIN(), values)
    ours = ADWIN(declared.ADWIN()).update(values)
    assert [one.index for one in ours] == theirs
    assert len(theirs) > 15


@settings(max_examples=examples(30), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 3_000),
    delta=st.floats(1e-8, 0.9),
    clock=st.integers(1, 50),
    buckets=st.integers(2, 9),
    least=st.integers(1, 20),
    grace=st.integers(0, 60),
)
def test_equals_river_for_any_parameters(
    seed: int, n: int, delta: float, clock: int, buckets: int, least: int, grace: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(n) * 10.0 ** rng.integers(-9, 9) + (np.arange(n) > n // 2) * rng.standard_normal()
    spec = declared.ADWIN(delta, clock, buckets, least, grace)
    theirs, looks = _of_river(spec, values)
    ours = ADWIN(spec)
    assert [one.index for one in ours.update(values)] == theirs
    if n % 1_000 == 0 and n:
        assert (ours.width, ours.total, ours.spread, ours.estimation) == looks[-1]


def test_means_before_and_after() -> None:
    spec = declared.ADWIN()
    values = STREAMS["moving bits"]
    start = 0
    for one in ADWIN(spec).update(values):
        seen = values[start : one.index + 1]
        assert len(seen) == one.dropped + one.kept
        assert one.mean_before == pytest.approx(seen[: one.dropped].mean(), rel=1e-12)
        assert one.mean_after == pytest.approx(seen[one.dropped :].mean(), rel=1e-12)
        start = one.index + 1


@settings(max_examples=examples(25), deadline=None)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=12), saves=st.sets(st.integers(0, 12)))
def test_cuts_and_restarts_are_invisible(cuts: list[int], saves: set[int]) -> None:
    spec = declared.ADWIN(delta=0.05)
    values = STREAMS["moving bits"][:30_000].copy()
    values[::17] = math.nan
    whole = ADWIN(spec)
    expected = whole.update(values)
    edges = [0, *sorted(cuts), len(values)]
    ours = ADWIN(spec)
    found: list[Drift] = []
    for place, (start, stop) in enumerate(pairwise(edges)):
        if place in saves:
            state = ours.save()
            ours = ADWIN(spec)
            ours.load(state)
        found += [one._replace(index=one.index + start) for one in ours.update(values[start:stop])]
    assert found == expected
    assert len(expected) >= 3
    for name, part in whole.save().items():
        np.testing.assert_array_equal(part, ours.save()[name])
    assert ours.seen == np.count_nonzero(~np.isnan(values))


def test_missing_is_left_out_and_infinite_is_large() -> None:
    spec = declared.ADWIN(delta=0.05)
    values = STREAMS["moving bits"][:20_000]
    holed = np.insert(values, np.arange(0, 20_000, 3), math.nan)
    assert [one[1:] for one in ADWIN(spec).update(holed)] == [one[1:] for one in ADWIN(spec).update(values)]
    ours = ADWIN(spec)
    ours.update(np.array([math.inf, -math.inf, 1e308, 1.0] * 100))
    assert ours.seen == 400
    assert math.isfinite(ours.total)


def test_input_is_neither_kept_nor_changed() -> None:
    values = STREAMS["abrupt"][:5_000].copy()
    ours = ADWIN(declared.ADWIN())
    ours.update(values)
    np.testing.assert_array_equal(values, STREAMS["abrupt"][:5_000])
    state = ours.save()
    before = {name: np.copy(part) for name, part in state.items()}
    ours.update(values + 5)
    for name, part in before.items():
        np.testing.assert_array_equal(part, state[name])


def test_state_of_another_declaration_is_refused() -> None:
    wide = ADWIN(declared.ADWIN(max_buckets=20))
    wide.update(STREAMS["stationary"][:5_000])
    with pytest.raises(ValueError, match="not a saved state of ADWIN"):
        ADWIN(declared.ADWIN()).load(wide.save())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delta", 0.0),
        ("delta", 1.0),
        ("delta", math.nan),
        ("clock", 0),
        ("max_buckets", 1),
        ("min_window_length", 0),
        ("grace_period", -1),
        ("clock", 1.5),
    ],
)
def test_bad_parameters_are_refused(name: str, value: float) -> None:
    with pytest.raises(DeclarationError, match=rf"ADWIN\({name}="):
        declared.ADWIN(**{name: value})  # type: ignore[arg-type]


@pytest.mark.skipif(not jit.COMPILED, reason="plain Python is slower")
def test_faster_than_river() -> None:
    values = STREAMS["bits"]
    ours, witness = ADWIN(declared.ADWIN()), _river(declared.ADWIN())
    ours.update(values)
    start = time.perf_counter()
    ours.update(values)
    took = time.perf_counter() - start
    start = time.perf_counter()
    for value in values[:50_000].tolist():
        witness.update(value)
    assert took / len(values) < (time.perf_counter() - start) / 50_000

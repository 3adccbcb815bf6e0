"""Metrics against a naive twin and river's, in any cuts, through save and load; AUC bounds; memory; bad input."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import metrics as river_metrics
from river import utils

from stream_ml.errors import DeclarationError
from stream_ml.kernels import metrics as kernels
from stream_ml.monitor.metrics import KINDS, Measured, Metrics
from stream_ml.monitor.spec import ADWIN, Monitor
from tests.scale import examples, slow

SEED = 7_112_026
TASKS = tuple(KINDS)


@dataclass
class Stream:
    """Labels, scores, predictions and groups of one task."""

    y: NDArray[np.float64]
    score: NDArray[np.float64]
    predicted: NDArray[np.float64]
    groups: NDArray[np.int64]

    def part(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        return tuple(one[start:stop] for one in (self.y, self.score, self.predicted, self.groups))


def _stream(task: str, n: int, slices: int = 2, holes: bool = True, seed: int = SEED) -> Stream:
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(0.5, 4, n), 4).astype(np.float64)
    score[rng.random(n) < 0.02] = 0.0
    score[rng.random(n) < 0.02] = 1.0
    y = (rng.random(n) < 0.1 + 0.7 * score).astype(np.float64)
    predicted = (score >= 0.3).astype(np.float64)
    if task == "multiclass":
        y, predicted = (rng.integers(0, 5, n).astype(np.float64) for _ in range(2))
    if task == "regression":
        y = rng.standard_normal(n) * 10.0 ** rng.integers(-6, 7, n)
        predicted = score = y + rng.standard_cauchy(n)
    if task == "anomaly":
        score = np.where(rng.random(n) < 0.3, rng.standard_cauchy(n) * 100, score)
    groups = np.zeros((n, 1 + slices), np.int64)
    for j in range(slices):
        groups[:, 1 + j] = np.minimum(rng.geometric(0.3, n), 6) + 6 * j
        groups[rng.random(n) < 0.1, 1 + j] = -1
    if holes:
        y[rng.random(n) < 0.05] = np.nan
        score[rng.random(n) < 0.05] = np.nan
        predicted[rng.random(n) < 0.05] = np.nan
    return Stream(y, score, predicted, groups)


def exact_auc(truth: list[bool], score: list[float]) -> float:
    """Share of (true, false) pairs in the right order, ties half: by sorting."""
    order = np.argsort(np.array(score), kind="stable")
    scores, truths = np.array(score)[order], np.array(truth)[order]
    trues, falses = int(truths.sum()), int((~truths).sum())
    if not trues or not falses:
        return math.nan
    won, below = 0.0, 0
    for _, run in itertools.groupby(range(len(scores)), key=lambda i: scores[i]):
        rows = list(run)
        t = int(truths[rows].sum())
        won += t * (below + (len(rows) - t) / 2)
        below += len(rows) - t
    return won / (trues * falses)


@dataclass
class Naive:
    """Everything kept in lists, everything computed anew: the truth for metrics."""

    task: str
    every: int
    last: int
    kept: dict[int, list[tuple[float, float, float]]] = field(default_factory=dict)

    def update(self, stream: Stream) -> list[Measured]:
        due = []
        for y, score, told, groups in zip(*(one.tolist() for one in stream.part(0, len(stream.y))), strict=True):
            needed = {"binary": (y, score, told), "anomaly": (y, score)}.get(self.task, (y, told))
            if any(math.isnan(one) for one in needed):
                continue
            for g in groups:
                if g >= 0:
                    self.kept.setdefault(g, []).append((y, score, told))
            if len(self.kept[0]) % self.every == 0:
                due += self.current()
        return due

    def current(self) -> list[Measured]:
        found = []
        for g in sorted(self.kept):
            for window, rows in (("all", self.kept[g]), (f"last{self.last}", self.kept[g][-self.last :])):
                for name, value in self.values(rows):
                    found.append(Measured(len(self.kept[0]), g, name, window, value, len(rows)))
        return found

    def values(self, rows: list[tuple[float, float, float]]) -> list[tuple[str, float]]:
        errors = [abs(told - y) for y, _, told in rows]
        right = sum(y == told for y, _, told in rows) / len(rows)
        truth, scores = [y != 0 for y, _, _ in rows], [score for _, score, _ in rows]
        if self.task == "multiclass":
            return [("accuracy", right)]
        if self.task == "regression":
            mean_square = math.fsum(one * one for one in errors) / len(rows)
            return [("mae", math.fsum(errors) / len(rows)), ("rmse", math.sqrt(mean_square))]
        if self.task == "anomaly":
            return [("roc_auc", exact_auc(truth, scores))]
        clipped = [min(max(p, 1e-15), 1 - 1e-15) for p in scores]
        losses = [-math.log(p if true else 1 - p) for true, p in zip(truth, clipped, strict=True)]
        return [
            ("accuracy", right),
            ("log_loss", math.fsum(losses) / len(rows)),
            ("roc_auc", exact_auc(truth, scores)),
        ]


def _same(ours: list[Measured], truth: list[Measured]) -> None:
    assert [(m.count, m.group, m.name, m.window, m.n) for m in ours] == [
        (m.count, m.group, m.name, m.window, m.n) for m in truth
    ]
    for one, other in zip(ours, truth, strict=True):
        if one.name == "accuracy":
            assert one.value == other.value
        elif one.name == "roc_auc":
            assert math.isnan(one.value) == math.isnan(other.value)
            assert math.isnan(one.value) or abs(one.value - other.value) < 0.02
        else:
            assert one.value == pytest.approx(other.value, rel=1e-12, abs=1e-12), one


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("last", [1, 128, *slow(50, 200, 1_000, 10_000)])
def test_equals_the_naive_twin(task: str, last: int) -> None:
    stream = _stream(task, 4_000)
    ours, naive = Metrics(task, Monitor(every=500, last=last), 2), Naive(task, 500, last)
    found, truth = ours.update(*stream.part(0, 4_000)), naive.update(stream)
    assert len({m.count for m in truth}) >= 6
    _same(found, truth)
    _same(ours.current(), naive.current())


def _rolled(metric: type[Any], last: int) -> Any:
    return utils.Rolling(metric, window_size=last)


@pytest.mark.parametrize("last", [100, 1_000])
def test_equals_river(last: int) -> None:
    classes, values = _stream("binary", 6_000, 0, holes=False), _stream("regression", 6_000, 0, holes=False)
    values.predicted[:] = values.y + np.clip(values.predicted - values.y, -50, 50)
    binary, regression = Metrics("binary", Monitor(last=last)), Metrics("regression", Monitor(last=last))
    every_class = {"accuracy": river_metrics.Accuracy, "log_loss": river_metrics.LogLoss}
    every_value = {"mae": river_metrics.MAE, "rmse": river_metrics.RMSE}
    witnesses: dict[tuple[str, str], Any] = {}
    for name, metric in {**every_class, **every_value}.items():
        witnesses[name, "all"], witnesses[name, f"last{last}"] = metric(), _rolled(metric, last)
    for y, score, told in zip(classes.y.tolist(), classes.score.tolist(), classes.predicted.tolist(), strict=True):
        for (name, _), witness in witnesses.items():
            if name == "accuracy":
                witness.update(bool(y), bool(told))
            elif name == "log_loss":
                witness.update(bool(y), score)
    for y, told in zip(values.y.tolist(), values.predicted.tolist(), strict=True):
        for (name, _), witness in witnesses.items():
            if name in every_value:
                witness.update(y, told)
    binary.update(*classes.part(0, 6_000))
    regression.update(*values.part(0, 6_000))
    checked = 0
    for one in binary.current() + regression.current():
        if one.name != "roc_auc":
            assert one.value == pytest.approx(witnesses[one.name, one.window].get(), rel=1e-9)
            checked += 1
    assert checked == 8


@pytest.mark.slow
def test_auc_is_nearer_the_exact_one_than_rivers() -> None:
    stream = _stream("binary", 5_000, 0, holes=False)
    ours, roc_auc = Metrics("binary", Monitor()), cast("Any", river_metrics.ROCAUC)
    witness = roc_auc(n_thresholds=1_000)
    ours.update(*stream.part(0, 5_000))
    for y, score in zip(stream.y.tolist(), stream.score.tolist(), strict=True):
        witness.update(bool(y), score)
    exact = exact_auc((stream.y != 0).tolist(), stream.score.tolist())
    area = next(one.value for one in ours.current() if one.name == "roc_auc")
    assert area == pytest.approx(witness.get(), abs=0.02)
    assert abs(area - exact) < abs(witness.get() - exact)


SCORES: dict[str, Any] = {
    "uniform": lambda rng, n: rng.random(n),
    "rare": lambda rng, n: rng.beta(0.5, 200, n),
    "sure": lambda rng, n: 1 / (1 + np.exp(-rng.standard_normal(n) * 6)),
    "narrow": lambda rng, n: 0.5 + rng.standard_normal(n) * 0.02,
    "coarse": lambda rng, n: np.round(rng.random(n), 1),
    "one": lambda rng, n: np.full(n, 0.3),
}


LARGEST_BOUND = {"uniform": 0.001, "sure": 0.002, "rare": 0.01, "narrow": 0.02}


@pytest.mark.parametrize("task", ["binary", "anomaly"])
@pytest.mark.parametrize("name", SCORES)
def test_auc_is_within_its_bound(task: str, name: str) -> None:
    rng = np.random.default_rng(SEED)
    n, last = 20_000, 3_000
    score = SCORES[name](rng, n)
    if task == "anomaly" and name != "one":
        score = score * 10.0 ** rng.integers(-3, 4, n) * np.where(rng.random(n) < 0.2, -1, 1)
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") / n
    y = (rng.random(n) < 0.05 + 0.3 * rank).astype(np.float64)
    ours = Metrics(task, Monitor(last=last))
    ours.update(y, score, y, np.zeros((n, 1), np.int64))
    areas = [one.value for one in ours.current() if one.name == "roc_auc"]
    for area, bound, start in zip(areas, ours.auc_bound(), (0, n - last), strict=True):
        exact = exact_auc((y[start:] != 0).tolist(), score[start:].tolist())
        assert abs(area - exact) <= bound + 1e-12
        assert abs(area - exact) < 0.005
        if task == "binary" and name in LARGEST_BOUND:
            assert bound < LARGEST_BOUND[name]
        if name in {"coarse", "one"} and task == "binary":
            assert area == pytest.approx(exact, abs=1e-12)


def test_bins_are_monotone_and_inside() -> None:
    tails, middle = 10.0 ** np.linspace(-12, -0.4, 20_000), 0.5 + np.linspace(-1e-9, 1e-9, 101)
    p = np.unique(np.concatenate([np.linspace(0, 1, 20_001), tails, 1 - tails, middle, [1e-300, 5e-324]]))
    bins = [kernels.bin_of(one) for one in p.tolist()]
    assert bins == sorted(bins)
    assert (bins[0], bins[-1]) == (0, kernels.BINS - 1)
    assert len(set(bins)) == kernels.BINS
    sizes = np.concatenate([2.0 ** np.linspace(-40, 60, 5_000), [1e100, 5e-324]])
    x = np.unique(np.concatenate([-sizes, sizes, p]))
    bins = [kernels.any_bin_of(one) for one in x.tolist()]
    assert bins == sorted(bins)
    assert (bins[0], bins[-1]) == (0, kernels.ANY_BINS - 1)
    assert len(set(bins)) == kernels.ANY_BINS


def _equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, part in one.items():
        assert np.asarray(part).tobytes() == np.asarray(other[name]).tobytes(), name


def _bits(found: list[Measured]) -> list[tuple[Any, ...]]:
    return [(*one[:4], np.float64(one.value).tobytes(), one.n) for one in found]


@settings(max_examples=examples(60), deadline=None)
@given(
    task=st.sampled_from(TASKS),
    every=st.integers(1, 400),
    last=st.integers(1, 700),
    cuts=st.lists(st.integers(0, 1_500), max_size=15),
    saves=st.sets(st.integers(0, 15)),
)
def test_cuts_and_restarts_are_invisible(task: str, every: int, last: int, cuts: list[int], saves: set[int]) -> None:
    stream = _stream(task, 1_500)
    spec = Monitor(every=every, last=last, max_groups=20)
    whole = Metrics(task, spec, 2)
    expected = whole.update(*stream.part(0, 1_500))
    assert bool(expected) == (whole.count >= every)
    ours, found = Metrics(task, spec, 2), []
    for place, (start, stop) in enumerate(itertools.pairwise([0, *sorted(cuts), 1_500])):
        if place in saves:
            state = ours.save()
            ours = Metrics(task, spec, 2)
            ours.load(state)
        found += ours.update(*stream.part(start, stop))
    assert _bits(found) == _bits(expected)
    assert _bits(ours.current()) == _bits(whole.current())
    _equal(ours.save(), whole.save())


def test_one_at_a_time_equals_at_once() -> None:
    stream = _stream("binary", 600)
    spec = Monitor(every=50, last=70, max_groups=20)
    whole, single = Metrics("binary", spec, 2), Metrics("binary", spec, 2)
    found = [one for i in range(600) for one in single.update(*stream.part(i, i + 1))]
    assert _bits(whole.update(*stream.part(0, 600))) == _bits(found)
    _equal(whole.save(), single.save())


@pytest.mark.parametrize("task", TASKS)
def test_memory_is_bounded(task: str) -> None:
    spec = Monitor(last=1_000, max_groups=12)
    ours = Metrics(task, spec, 2)
    sizes = []
    for seed in range(12):
        ours.update(*_stream(task, 4_000, seed=seed).part(0, 4_000))
        sizes.append(ours._rings.slab.nbytes + ours._bins.nbytes + ours._recent.nbytes)
    assert len(set(sizes[6:])) == 1
    assert ours._rings.slab.nbytes <= 13 * 32 * spec.last * 1.2
    assert sum(len(part) for part in ours.save().values() if isinstance(part, np.ndarray)) < 13 * (2_100 + 4_200)


def test_few_labels_use_little() -> None:
    ours = Metrics("binary", Monitor(last=100_000))
    ours.update(np.ones(70), np.ones(70), np.ones(70), np.zeros((70, 1), np.int64))
    assert ours._rings.slab.nbytes <= 16_384


def test_after_a_giant_error_the_window_is_exact_again() -> None:
    ours = Metrics("regression", Monitor(last=300))
    y = np.concatenate([np.full(500, 0.1), [1e90], np.full(1_000, 0.1)])
    ours.update(y, np.zeros(1_501), np.zeros(1_501), np.zeros((1_501, 1), np.int64))
    recent = {one.name: one.value for one in ours.current() if one.window == "last300"}
    assert recent["mae"] == pytest.approx(0.1, rel=1e-14)
    assert recent["rmse"] == pytest.approx(0.1, rel=1e-14)


def test_infinite_predictions_count_as_very_wrong() -> None:
    ours = Metrics("regression", Monitor())
    told = np.array([math.inf, -math.inf, 1e308, 0.0])
    ours.update(np.zeros(4), told, told, np.zeros((4, 1), np.int64))
    assert [one.value for one in ours.current()][:2] == pytest.approx([0.75e100, math.sqrt(0.75) * 1e100], rel=1e-14)
    scores = Metrics("anomaly", Monitor())
    scores.update(np.array([1.0, 0.0]), np.array([math.inf, -math.inf]), np.zeros(2), np.zeros((2, 1), np.int64))
    assert scores.current()[0].value == 1.0


def test_before_any_label_there_is_nothing() -> None:
    for task in TASKS:
        ours = Metrics(task, Monitor())
        assert ours.current() == []
        assert ours.update(np.empty(0), np.empty(0), np.empty(0), np.empty((0, 1), np.int64)) == []
        ours.update(np.full(3, np.nan), np.zeros(3), np.zeros(3), np.zeros((3, 1), np.int64))
        assert ours.count == 0
        fresh = Metrics(task, Monitor())
        fresh.load(ours.save())
        assert fresh.current() == []


def test_input_is_neither_kept_nor_changed() -> None:
    stream, again = _stream("binary", 1_000), _stream("binary", 1_000)
    ours = Metrics("binary", Monitor(), 2)
    ours.update(*stream.part(0, 1_000))
    for one, other in zip(stream.part(0, 1_000), again.part(0, 1_000), strict=True):
        np.testing.assert_array_equal(one, other)
    state = ours.save()
    before = {name: np.copy(part) for name, part in state.items()}
    ours.update(*stream.part(0, 1_000))
    _equal(state, before)


def test_too_many_groups_and_foreign_states_are_refused() -> None:
    ours = Metrics("binary", Monitor(max_groups=3), 1)
    one = np.ones(1)
    ours.update(one, one, one, np.array([[0, 4]]))
    with pytest.raises(ValueError, match=r"group 5 of at most 5: see Monitor\(max_groups=\)"):
        ours.update(one, one, one, np.array([[0, 5]]))
    with pytest.raises(ValueError, match="not a saved state of multiclass metrics over the last 10000, format 1"):
        Metrics("multiclass", Monitor()).load(ours.save())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("every", 0),
        ("every", 2.5),
        ("last", 0),
        ("last", 200_001),
        ("max_groups", -1),
        ("every", True),
        ("detectors", ADWIN()),
        ("detectors", ("adwin",)),
    ],
)
def test_bad_declarations_are_refused(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError, match=rf"Monitor\({name}="):
        Monitor(**{name: value})

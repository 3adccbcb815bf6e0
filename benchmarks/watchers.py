"""What watches a model beside river's: the drift detector, which river itself compiles, and the metrics.

Seeded streams; CPU microseconds a value, in turn. The detector's alarms and window are equal. On both sides metrics are
over all labels and over the last 10,000; accuracy, log loss, MAE and RMSE are compared, and ROC AUC, which both sides
estimate from bins, is held against the exact one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import drift, metrics, utils

from benchmarks.command import Found, check, spread
from benchmarks.differences import largest_difference
from stream_ml.monitor import spec
from stream_ml.monitor.adwin import ADWIN
from stream_ml.monitor.metrics import Metrics

F8 = NDArray[np.float64]
TURN = 1_000
BOUND = 1e-9
LAST = 10_000
#: How many times river's speed is asked for: where river is Python, and where it is compiled.
PYTHON, COMPILED = 50, 5
river_adwin: Any = drift.ADWIN  # river's own methods carry no types
river_utils: Any = utils


@dataclass(frozen=True, slots=True)
class Watcher:
    """A detector or metrics: how its stream is made, and how both sides go through it; each returns what it found."""

    name: str
    stream: Callable[[int], F8]
    ours: Callable[[Sequence[F8]], F8]
    theirs: Callable[[Sequence[Sequence[float]]], F8]
    asked: int
    checked: Callable[[Sequence[F8]], None] | None = None


def compared(records: int, compiled: Sequence[float], river: Sequence[float], asked: int) -> Found:
    """Return both sides' microseconds a record, their ratio and whether it is what is asked for."""
    fast, slow = spread(compiled, 3), spread(river, 3)
    ratio = round(slow["median"] / fast["median"], 1)
    return {
        "records": records,
        "compiled_us": fast,
        "river_us": slow,
        "ratio": ratio,
        "asked": asked,
        "reached": ratio >= asked,
    }


def beside_river(case: Watcher, values: int, rounds: int) -> Found:
    """Return microseconds a value of both, their ratio, and how far their findings are apart."""
    stream = case.stream(values)
    turns = [np.ascontiguousarray(stream[:, at : at + TURN]) for at in range(0, values, TURN)]
    lists = stream.tolist()
    compiled, river = [], []
    ours = theirs = np.empty(0)
    for _ in range(rounds):
        begun = time.process_time()
        ours = case.ours(turns)
        compiled.append((time.process_time() - begun) / values * 1e6)
        begun = time.process_time()
        theirs = case.theirs(lists)
        river.append((time.process_time() - begun) / values * 1e6)
    check(holds=len(ours) == len(theirs), what=f"{case.name}: {len(ours)} findings and {len(theirs)}")
    apart = largest_difference(ours, theirs)
    check(holds=apart <= BOUND, what=f"{case.name}: findings differ by {apart}")
    if case.checked is not None:
        case.checked(turns)
    return compared(values, compiled, river, case.asked) | {"largest_difference": apart}


def errors(n: int) -> F8:
    """Return 0 or 1 [1, n]: wrong or right, with another rate every 5,000."""
    draw = np.random.default_rng(5)
    rate = draw.uniform(0.05, 0.5, n // 5_000 + 1)[np.arange(n) // 5_000]
    return (draw.random((1, n)) < rate).astype(np.float64)


def steady(n: int) -> F8:
    """Return absolute errors [1, n] that never change."""
    return np.abs(np.random.default_rng(6).normal(size=(1, n)))


def detected(turns: Sequence[F8]) -> F8:
    """Return where the compiled detector alarms, then its window's size and mean."""
    detector, found = ADWIN(spec.ADWIN()), []
    for i, turn in enumerate(turns):
        found += [float(i * TURN + change.index) for change in detector.update(turn[0])]
    return np.array([*found, detector.width, detector.estimation])


def detected_by_river(lists: Sequence[Sequence[float]]) -> F8:
    """Return where river's detector alarms, then its window's size and mean."""
    detector, found = river_adwin(), []
    for i, value in enumerate(lists[0]):
        detector.update(value)
        if detector.drift_detected:
            found.append(float(i))
    return np.array([*found, detector.width, detector.estimation])


def answers(n: int) -> F8:
    """Return truth, P(true) and the prediction [3, n] of a binary task."""
    draw = np.random.default_rng(7)
    score = draw.beta(0.6, 2.0, n)
    return np.stack([(draw.random(n) < score).astype(np.float64), score, (score > 0.5).astype(np.float64)])


def told(n: int) -> F8:
    """Return truth and prediction [3, n] of a regression, the prediction as score as well."""
    draw = np.random.default_rng(8)
    truth = draw.normal(size=n)
    guess = truth + draw.normal(size=n)
    return np.stack([truth, guess, guess])


def measured(task: str, turns: Sequence[F8]) -> Metrics:
    """Return a task's metrics at the end of a stream."""
    running, groups = Metrics(task, spec.Monitor(last=LAST)), np.zeros((TURN, 1), np.int64)
    for turn in turns:
        running.update(turn[0], turn[1], turn[2], groups[: turn.shape[1]])
    return running


def values_of(running: Metrics, names: Sequence[str]) -> F8:
    """Return metrics, each over all labels and then over the last ones."""
    found = {(one.name, one.window): one.value for one in running.current()}
    return np.array([found[name, window] for name in names for window in ("all", f"last{LAST}")])


def classified(turns: Sequence[F8]) -> F8:
    """Return accuracy and log loss; ROC AUC is measured with them."""
    return values_of(measured("binary", turns), ("accuracy", "log_loss"))


def classified_by_river(lists: Sequence[Sequence[float]]) -> F8:
    """Return river's accuracy and log loss; its ROC AUC is measured with them."""
    accuracy, loss, area = (both(kind) for kind in (metrics.Accuracy, metrics.LogLoss, metrics.ROCAUC))
    for truth, score, said in zip(*lists, strict=True):
        for one in accuracy:
            one.update(truth, said)
        for one in loss:
            one.update(truth, score)
        for one in area:
            one.update(truth, score)
    return np.array([one.get() for one in (*accuracy, *loss)])


def regressed(turns: Sequence[F8]) -> F8:
    """Return MAE and RMSE."""
    return values_of(measured("regression", turns), ("mae", "rmse"))


def regressed_by_river(lists: Sequence[Sequence[float]]) -> F8:
    """Return river's MAE and RMSE."""
    running = [*both(metrics.MAE), *both(metrics.RMSE)]
    for truth, _, said in zip(*lists, strict=True):
        for one in running:
            one.update(truth, said)
    return np.array([one.get() for one in running])


def both(kind: Any) -> tuple[Any, Any]:
    """Return a metric of river's over all labels and over the last ones."""
    return kind(), river_utils.Rolling(kind, window_size=LAST)


def right_area(turns: Sequence[F8]) -> None:
    """Hold ROC AUC against the exact one, within the bound that the metrics state."""
    running, whole = measured("binary", turns), np.concatenate(turns, axis=1)
    ranks = np.empty(whole.shape[1])
    ranks[np.argsort(whole[1])] = np.arange(1, whole.shape[1] + 1)
    trues = float(whole[0].sum())
    pairs = trues * (whole.shape[1] - trues)
    exact = (float(ranks[whole[0] == 1].sum()) - trues * (trues + 1) / 2) / pairs
    off = abs(float(values_of(running, ("roc_auc",))[0]) - exact)
    check(holds=off <= running.auc_bound()[0] + BOUND, what=f"ROC AUC is {off} off")


WATCHERS = (
    Watcher("ADWIN, rates that change", errors, detected, detected_by_river, COMPILED),
    Watcher("ADWIN, errors that stay", steady, detected, detected_by_river, COMPILED),
    Watcher("accuracy, log loss, ROC AUC", answers, classified, classified_by_river, PYTHON, right_area),
    Watcher("MAE, RMSE", told, regressed, regressed_by_river, PYTHON),
)

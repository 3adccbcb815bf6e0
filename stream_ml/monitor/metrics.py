"""Prequential metrics: label against prediction as served, over all labels and over the last N, by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import metrics
from stream_ml.monitor.rings import Rings
from stream_ml.monitor.spec import Monitor

T = TypeVar("T", bound=np.generic)
#: Version of what :meth:`Metrics.save` gives.
FORMAT = 1
KINDS = {
    "binary": metrics.BINARY,
    "multiclass": metrics.MULTICLASS,
    "anomaly": metrics.ANOMALY,
    "regression": metrics.REGRESSION,
}
#: Each task's metrics and where the kernels write them.
NAMES = {
    "binary": (("accuracy", 0), ("log_loss", 1), ("roc_auc", 2)),
    "multiclass": (("accuracy", 0),),
    "anomaly": (("roc_auc", 2),),
    "regression": (("mae", 0), ("rmse", 1)),
}
BINS = {"binary": metrics.BINS, "multiclass": 0, "anomaly": metrics.ANY_BINS, "regression": 0}
#: Columns of the kernels' table that are state; the others are made anew from the rings.
KEPT = (metrics.COUNT, metrics.RIGHT)


class Measured(NamedTuple):
    """One value of one metric.

    Attributes
    ----------
    count
        How many examples had been measured overall.
    group
        Group number: 0 the whole.
    name
        accuracy, log_loss, roc_auc, mae or rmse.
    window
        ``all``, or ``last10000`` with the declared number of labels.
    value
        NaN where there is nothing to tell: ROC AUC without labels of both kinds.
    n
        How many of the group's labels it is over.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    group: int
    name: str
    window: str
    value: float
    n: int


class Metrics:
    """Measures served predictions as their labels arrive: `update` in order, emitting at every so many examples.

    An example counts when its label and what the task needs of the prediction are there (NaN is missing): score and
    prediction for a binary task, the score for an anomaly detector, the prediction otherwise. How examples are cut into
    updates is invisible. Accuracy is exact; log loss clips the score to [1e-15, 1 - 1e-15], and over the last N labels
    is kept in whole units of 2^-40, so within 5e-13. ROC AUC is of scores in 1,024 fixed bins (anomaly scores: 2,048),
    ties by trapezoid: it is off by at most half the share of (true, false) pairs of labels whose scores share a bin,
    sum_b t_b f_b / (2 T F): 0.001 for scores all over [0, 1], 0.01 where they crowd; an error far below it is usual.
    `auc_bound` tells it for what was measured.

    Parameters
    ----------
    task
        "binary", "multiclass", "anomaly" or "regression".
    spec
        Cadence, window and how many groups.
    columns
        How many slice columns there are: groups beyond ``spec.max_groups + columns`` are refused.

    Examples
    --------
    >>> running = Metrics("regression", Monitor(every=2, last=2))
    >>> y, told = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 4.0])
    >>> for one in running.update(y, told, told, np.zeros((3, 1), np.int64)):
    ...     print(one.count, one.name, one.window, round(one.value, 3))
    2 mae all 1.0
    2 rmse all 1.414
    2 mae last2 1.0
    2 rmse last2 1.414
    >>> running.current()[2]
    Measured(count=3, group=0, name='mae', window='last2', value=1.5, n=2)
    """

    def __init__(self, task: str, spec: Monitor, columns: int = 0) -> None:
        self.task = task
        self.spec = spec
        self._most = 1 + columns + spec.max_groups
        self._limits = np.array([KINDS[task], spec.last, 0, 0], np.int64)
        self._clear()

    def _clear(self) -> None:
        task, spec = self.task, self.spec
        self._rings = Rings(np.float64 if task == "regression" else np.int64, spec.last)
        self._top = 1
        self._table = np.zeros((1, metrics.COLUMNS), np.int64)
        self._sums = np.zeros((1, metrics.SUMS))
        self._bins = np.zeros((1, 2, BINS[task]), np.int64)
        self._recent = np.zeros((1, 2, BINS[task]), np.int64)
        self._values = np.full((1, 2, 3), np.nan)

    @property
    def count(self) -> int:
        """How many examples have been measured."""
        return int(self._table[0, metrics.COUNT])

    def update(
        self,
        y: NDArray[np.float64],
        score: NDArray[np.float64],
        predicted: NDArray[np.float64],
        groups: NDArray[np.int64],
    ) -> list[Measured]:
        """Measure n examples in order; returns what was due on the way.

        Parameters
        ----------
        y
            Labels [n]: truth 0 or 1, number of the class, or value; NaN is missing.
        score
            P(true), value or anomaly score [n].
        predicted
            What was answered [n]: 0 or 1, number of the class, or value.
        groups
            Group numbers [n, 1 + s]: 0, then each slice column's, -1 for none.

        Raises
        ------
        ValueError
            When a group's number is beyond the declared number of groups.
        """
        n = len(y)
        answers = np.empty((3, n))
        answers[0], answers[1], answers[2] = y, score, predicted
        groups = np.ascontiguousarray(groups, np.int64)
        if n and groups.shape[1] > 1:
            self._reserve(int(groups.max()) + 1)
        due: list[Measured] = []
        row = 0
        while row < n:
            count = self.count
            target = (count // self.spec.every + 1) * self.spec.every
            row = self._learn(answers, groups, row, target)
            if self.count == target:
                due += self.current()
            elif row < n:
                self._lengthen(groups[row].tolist())
        return due

    def _learn(self, answers: NDArray[np.float64], groups: NDArray[np.int64], row: int, target: int) -> int:
        self._limits[2], self._limits[3] = row, target
        if self.task == "regression":
            return int(metrics.regress(self._limits, answers, groups, self._table, self._sums, self._rings.slab))
        return int(
            metrics.classify(
                self._limits, answers, groups, self._table, self._sums, self._bins, self._recent, self._rings.slab
            )
        )

    def _reserve(self, groups: int) -> None:
        if groups > self._most:
            message = f"group {groups - 1} of at most {self._most}: see Monitor(max_groups=)"
            raise ValueError(message)
        self._top = max(self._top, groups)
        if self._top > len(self._table):
            larger = min(max(self._top, 2 * len(self._table)), self._most)
            self._table = _longer(self._table, larger)
            self._sums = _longer(self._sums, larger)
            self._bins = _longer(self._bins, larger)
            self._recent = _longer(self._recent, larger)
            self._values = _longer(self._values, larger)

    def _lengthen(self, groups: Sequence[int]) -> None:
        for g in groups:
            place, room = self._table[g, metrics.PLACE : metrics.ROOM + 1].tolist()
            if g >= 0 and room < self.spec.last and self._table[g, metrics.COUNT] >= room:
                self._table[g, metrics.PLACE : metrics.ROOM + 1] = self._rings.lengthen(place, room)

    def current(self) -> list[Measured]:
        """Return every metric of every group that has a label: by group, all labels first, then the last N."""
        if self.task == "regression":
            metrics.regression_values(self._limits, self._table, self._sums, self._rings.slab, self._values)
        else:
            metrics.classification_values(self._limits, self._table, self._sums, self._bins, self._recent, self._values)
        count, last, newest = self.count, self.spec.last, f"last{self.spec.last}"
        measured: list[Measured] = []
        for g, (n, (whole, recent)) in enumerate(
            zip(self._table[: self._top, metrics.COUNT].tolist(), self._values[: self._top].tolist(), strict=True)
        ):
            if n:
                measured += [Measured(count, g, name, "all", whole[at], n) for name, at in NAMES[self.task]]
                held = min(n, last)
                measured += [Measured(count, g, name, newest, recent[at], held) for name, at in NAMES[self.task]]
        return measured

    def auc_bound(self, group: int = 0) -> tuple[float, float]:
        """Return how far a group's ROC AUC over all labels, and over the last N, can be from the exact one."""
        return float(metrics.uncertainty(self._bins[group])), float(metrics.uncertainty(self._recent[group]))

    def save(self) -> dict[str, Any]:
        """Return the state as arrays: counts, sums, bins that hold something, and rings, oldest label first."""
        top, last = self._top, self.spec.last
        table, bins = self._table[:top], self._bins[:top].reshape(-1)
        filled = np.flatnonzero(bins)
        rings = []
        for count, place, room in table[:, [metrics.COUNT, metrics.PLACE, metrics.ROOM]].tolist():
            held = min(count, last)
            rings.append(self._rings.slab[place + np.arange(count - held, count) % max(room, 1)])
        return {
            "format": FORMAT,
            "task": self.task,
            "last": last,
            "table": table[:, KEPT].copy(),
            "sums": self._sums[:top].copy(),
            "bins": filled,
            "bin_counts": bins[filled],
            "rings": np.concatenate(rings),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `save` of metrics of the same task and declaration returned.

        Raises
        ------
        ValueError
            When the state is of another format, task or window, or of too many groups.
        """
        if (state["format"], state["task"], state["last"]) != (FORMAT, self.task, self.spec.last):
            message = f"not a saved state of {self.task} metrics over the last {self.spec.last}, format {FORMAT}"
            raise ValueError(message)
        table = np.asarray(state["table"], np.int64).reshape(-1, len(KEPT))
        self._clear()
        self._reserve(len(table))
        top, last = len(table), self.spec.last
        self._table[:top, KEPT] = table
        self._table[:top, metrics.CHANGED] = table[:, 0] > 0
        self._sums[:top] = np.asarray(state["sums"]).reshape(top, -1)
        self._bins.reshape(-1)[np.asarray(state["bins"])] = state["bin_counts"]
        rings, start = np.asarray(state["rings"], self._rings.slab.dtype), 0
        for g, count in enumerate(table[:, 0].tolist()):
            held = min(count, last)
            place, room = 0, 0
            while room < held:
                place, room = self._rings.lengthen(place, room)
            self._table[g, metrics.PLACE : metrics.ROOM + 1] = place, room
            self._rings.slab[place + np.arange(count - held, count) % max(room, 1)] = rings[start : start + held]
            start += held
        if self.task == "regression":
            metrics.resum(self._limits, self._table, self._rings.slab)
        else:
            metrics.recount(self._limits, self._table, self._recent, self._rings.slab)


def _longer(array: NDArray[T], groups: int) -> NDArray[T]:
    longer = np.zeros((groups, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer

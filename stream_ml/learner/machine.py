"""The learner as a machine: predictions and lessons through the model, examples through metrics and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.model.build import build
from stream_ml.model.spec import Answers, Input, Model, Tape, Texts
from stream_ml.monitor.adwin import ADWIN, Drift
from stream_ml.monitor.groups import Groups
from stream_ml.monitor.metrics import Measured, Metrics
from stream_ml.monitor.spec import Monitor

F8 = NDArray[np.float64]
KILLED = "killed the process"


@dataclass(frozen=True, slots=True)
class LearnerSpec:
    """What the learner is made from.

    Parameters
    ----------
    at_once
        Whether the model learns each event right after its prediction, without a label.
    lineage
        Name of the line of models that begins with this starting model.
    """

    task: str
    estimator: Any
    inputs: tuple[Input, ...]
    target: str
    threshold: float
    monitor: Monitor
    slices: tuple[str, ...]
    at_once: bool
    lineage: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What a batch of examples gave.

    Parameters
    ----------
    measured
        (example of the batch at which it was due, metric).
    drifts
        (detector, drift); a drift's index is an example of the batch.
    before
        How many examples were watched before the batch.
    """

    measured: list[tuple[int, Measured]]
    drifts: list[tuple[int, Drift]]
    before: int


class Learner:
    """Model, metrics and detectors of one pipeline.

    Order of calls: :meth:`run` with the tape of a batch, then :meth:`watch` with its examples. While it is `muted` it
    is given lessons only, and they are counted as lessons that failed, without being taught.
    """

    def __init__(self, spec: LearnerSpec, texts: Texts) -> None:
        self.spec = spec
        self.model: Model | None = None
        if spec.estimator is not None:
            self.model = build(spec.estimator, spec.inputs, spec.task, texts, spec.target)
        self.groups = Groups(spec.slices, spec.monitor.max_groups)
        self.metrics = Metrics(spec.task, spec.monitor, len(spec.slices)) if spec.task != "features" else None
        self.detectors = [ADWIN(one) for one in spec.monitor.detectors] if spec.task != "features" else []
        self.count = 0
        self.watched = 0
        self.learn_errors = 0
        self.muted = False

    @property
    def compiled(self) -> bool:
        """Whether no part of the model is left to river."""
        return self.model is None or all(part.compiled for part in self.model.parts)

    def run(self, tape: Tape) -> tuple[Answers, NDArray[np.int64]]:
        """Predict and learn in order; returns the answers and, for each operation, the count of examples before it."""
        if self.model is None:
            return Answers(np.full(len(tape), np.nan)), np.full(len(tape), self.count)
        before = self.count + np.cumsum(tape.learn, dtype=np.int64) - tape.learn
        if self.muted:
            lessons = np.flatnonzero(tape.learn).tolist()
            answers = Answers(np.full(len(tape), np.nan), errors=[(i, KILLED) for i in lessons])
        else:
            answers = self.model.run(tape)
        self.count += int(tape.learn.sum())
        if answers.errors:
            self.learn_errors += sum(1 for at, _ in answers.errors if tape.learn[at])
        return answers, before

    def predicted(self, score: F8) -> F8:
        """Return the decision that a score comes to: a truth as 1 or 0, or the value itself."""
        if self.spec.task in {"binary", "anomaly"}:
            decision = (score > self.spec.threshold).astype(np.float64)
            decision[np.isnan(score)] = np.nan
            return decision
        return score

    def watch(self, y: F8, score: F8, predicted: F8, slices: Sequence[Sequence[str | None]]) -> Watched:
        """Measure examples in order and let the detectors see their errors."""
        before = self.watched
        self.watched += int(y.size)
        if self.metrics is None or not y.size:
            return Watched([], [], before)
        if self.spec.slices:
            groups = self.groups.numbers(slices)
        else:
            groups = np.zeros((y.size, 1), np.int64)
        counted = self.metrics.count
        due = self.metrics.update(y, score, predicted, groups)
        measured = list(zip(self._when(due, counted, y, score, predicted), due, strict=True))
        if self.spec.task == "anomaly":
            return Watched(measured, [], before)
        if self.spec.task == "regression":
            errors = np.abs(y - predicted)
        else:
            errors = (y != predicted).astype(np.float64)
            errors[np.isnan(predicted)] = np.nan
        drifts = [(i, drift) for i, detector in enumerate(self.detectors) for drift in detector.update(errors)]
        drifts.sort(key=lambda pair: (pair[1].index, pair[0]))
        return Watched(measured, drifts, before)

    def _when(self, due: list[Measured], counted: int, y: F8, score: F8, predicted: F8) -> list[int]:
        """Return the examples at which metrics were due: those whose label and prediction are there count."""
        if not due:
            return []
        told = score if self.spec.task == "anomaly" else predicted
        there = ~(np.isnan(y) | np.isnan(told))
        if self.spec.task == "binary":
            there &= ~np.isnan(score)
        places = np.flatnonzero(there)
        return [int(places[one.count - counted - 1]) for one in due]

    def save(self) -> dict[str, Any]:
        """Return the state as named arrays and plain values."""
        return {
            "count": self.count,
            "watched": self.watched,
            "learn_errors": self.learn_errors,
            "model": self.model.save() if self.model is not None else None,
            "groups": self.groups.save(),
            "metrics": self.metrics.save() if self.metrics is not None else None,
            "detectors": [detector.save() for detector in self.detectors],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned."""
        self.count = int(state["count"])
        self.watched = int(state["watched"])
        self.learn_errors = int(state["learn_errors"])
        if self.model is not None:
            self.model.load(state["model"])
        self.groups.load(state["groups"])
        if self.metrics is not None:
            self.metrics.load(state["metrics"])
        for detector, saved in zip(self.detectors, state["detectors"], strict=True):
            detector.load(saved)

"""Answers as they were served, in a journal entry and back: with them a turn is fed again without its model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import CorruptError
from stream_ml.model.spec import Answers
from stream_ml.sessions.journal import Choices, Served


class _Numbered:
    """Values in the order of their first sight; 1, 1.0 and True are three."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int:
        key = (type(value), value)
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]


def served_of(version: tuple[str, int], answers: Sequence[Answers]) -> Served:
    """Return the answers of a turn's batches as a journal entry holds them."""
    failed: list[tuple[int, str]] = []
    starts = np.cumsum([0, *(one.score.size for one in answers)]).tolist()
    for start, one in zip(starts, answers, strict=False):
        failed += [(start + at, message) for at, message in one.errors]
    scores = np.concatenate([one.score for one in answers]) if answers else np.zeros(0)
    return Served(*version, scores.astype("<f8").tobytes(), _choices(answers), tuple(failed))


def _choices(answers: Sequence[Answers]) -> Choices | None:
    classes, orders = _Numbered(), _Numbered()
    labels: list[int] = []
    which: list[int] = []
    chances: list[float] = []
    for one in answers:
        if one.label is None:
            continue
        labels += [-1 if label is None else classes.number(label) for label in one.label]
        for told in one.probabilities or [{} for _ in one.label]:
            which.append(orders.number(tuple(map(classes.number, told))))
            chances += told.values()
    if not labels:
        return None
    return Choices(
        tuple(classes.values), tuple(orders.values), np.array(labels, "<i4").tobytes(),
        np.array(which, "<i4").tobytes(), np.array(chances, "<f8").tobytes(),
    )  # fmt: skip


class Told:
    """The answers of one turn, taken batch by batch.

    Order of calls: :meth:`next` for each batch, then :attr:`left` is 0.
    """

    def __init__(self, served: Served) -> None:
        self._scores = np.frombuffer(served.scores, "<f8").astype(np.float64)
        self._failed = served.failed
        self._labels: list[Any] | None = None
        self._told: list[dict[Any, float]] = []
        self._at = 0
        if served.choices is not None:
            self._read(served.choices)

    def _read(self, choices: Choices) -> None:
        classes = choices.classes
        orders = [[classes[i] for i in order] for order in choices.orders]
        which: list[int] = np.frombuffer(choices.which, "<i4").tolist()
        chances: list[float] = np.frombuffer(choices.chances, "<f8").tolist()
        ends = np.cumsum([0, *(len(orders[i]) for i in which)]).tolist()
        parts = zip(which, pairwise(ends), strict=True)
        self._told = [dict(zip(orders[i], chances[a:b], strict=True)) for i, (a, b) in parts]
        labels: NDArray[np.int32] = np.frombuffer(choices.labels, "<i4")
        self._labels = [None if i < 0 else classes[i] for i in labels.tolist()]

    @property
    def left(self) -> int:
        """How many answers have not been taken."""
        return int(self._scores.size) - self._at

    def next(self, n: int, *, many: bool) -> Answers:
        """Return the answers of the next n events.

        Parameters
        ----------
        many
            Whether the task is multi-class.

        Raises
        ------
        CorruptError
            When fewer are left.
        """
        first, end = self._at, self._at + n
        if n > self.left:
            cause = f"a journal entry holds {self._scores.size} answers, and more events are asked"
            raise CorruptError(cause, "Run the version of stream_ml that wrote it")
        self._at = end
        answers = Answers(self._scores[first:end].copy())
        if many:
            answers.label = (self._labels or [])[first:end]
            answers.probabilities = self._told[first:end]
        answers.errors = [(at - first, message) for at, message in self._failed if first <= at < end]
        return answers

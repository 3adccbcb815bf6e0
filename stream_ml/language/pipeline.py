"""A pipeline: features, label and model, and what else changes its answers."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import Any

from stream_ml.errors import Place
from stream_ml.language.estimators import task_of
from stream_ml.language.expr import Column, Expr, Unfinished, no_window
from stream_ml.language.features import Features
from stream_ml.language.keywords import checked
from stream_ml.language.kinds import NUMBERS, Kind, kind, kind_name
from stream_ml.language.leaks import check_own_label
from stream_ml.language.places import here, refuse, shown
from stream_ml.language.rows import check_row
from stream_ml.language.sources import no_tables
from stream_ml.language.spans import parse_bytes, parse_ms
from stream_ml.language.walk import columns, event_of, is_label, lookups, windows
from stream_ml.monitor.spec import Monitor

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_HALF = 0.5
_NEEDED = {
    "name": 'Name it: Pipeline("fraud", ...)',
    "features": "Say what the model sees: features=PaymentFeatures",
    "model": "Give it a river estimator, or model=None for features only",
}


@dataclass(frozen=True, slots=True)
class Learning:
    """How the learner hands what it learned to the scorer.

    Parameters
    ----------
    sync
        How often, as `"1s"`; `"0s"` after every turn.

    Examples
    --------
    >>> Learning(sync="500ms").sync_ms
    500
    """

    sync: str = "1s"

    def __post_init__(self) -> None:
        """Refuse what is no span of time."""
        parse_ms(self.sync, "Learning(sync=)")

    @property
    def sync_ms(self) -> int:
        """The span in milliseconds."""
        return parse_ms(self.sync)


_MONITOR, _LEARNING = Monitor(), Learning()


class Pipeline:
    """One model over one event stream.

    Parameters
    ----------
    name
        Names what it writes: letters, digits, _ and -.
    features
        The Features class.
    model
        A river estimator or pipeline, copied with what it has learned; None for features only.
    label
        The truth to learn: an expression of label and event columns.
    weight
        How much an example counts in learning: an expression of label and event columns.
    when
        Predict only where this expression of the event is true; features see every event.
    threshold
        Binary: the prediction is true from this probability.
    slices
        Columns of the event whose values are measured apart.
    carry
        Columns of the event that are copied to the prediction.
    store_features
        Keep the features with each example.
    monitor
        Cadence of metrics and drift detectors.
    learning
        Cadence of learning.
    pending
        The most that events waiting for their label may take, as `"256MiB"`; past it the oldest are given up.

    Raises
    ------
    DeclarationError
        With file, line, cause and cure.

    Examples
    --------
    >>> from river import linear_model
    >>> from stream_ml import Features, Pipeline, fn
    >>> from stream_ml.language.example import Chargeback, Payment
    >>> class PaymentFeatures(Features, of=Payment):
    ...     amount = fn.log1p(Payment.amount)
    >>> pipeline = Pipeline(
    ...     "fraud", features=PaymentFeatures, model=linear_model.LogisticRegression(), label=Chargeback.fraud
    ... )
    >>> pipeline.task
    'binary'
    """

    @checked("Pipeline(...)", _NEEDED)
    def __init__(  # noqa: PLR0913 (a declaration: keywords, each optional)
        self,
        name: str,
        *,
        features: type[Features],
        model: object,
        label: object = None,
        weight: object = None,
        when: object = None,
        threshold: float = _HALF,
        slices: tuple[object, ...] = (),
        carry: tuple[object, ...] = (),
        store_features: bool = True,
        monitor: Monitor = _MONITOR,
        learning: Learning = _LEARNING,
        pending: str = "1GiB",
    ) -> None:
        self.place: Place | None = here()
        self.name = name
        self.features = _features(name, features)
        self.event = features.of
        self.label: Expr | None = self._outcome("label", label)
        self.weight: Expr | None = self._outcome("weight", weight)
        self.when: Expr | None = _row(self.event, "when", when)
        self.slices: tuple[Expr, ...] = _columns(self.event, "slices", slices)
        self.carry: tuple[Expr, ...] = _columns(self.event, "carry", carry)
        self.store_features = _flag("store_features", store_features)
        self.monitor = _spec("monitor", monitor, Monitor)
        self.learning = _spec("learning", learning, Learning)
        self.pending_bytes = parse_bytes(pending, "pending=")
        self._check_kinds()
        self.label_stream = self._label_stream()
        self.task = task_of(model, self.label)
        self.threshold = self._threshold(threshold)
        self._check_use()
        self.model: Any = copy.deepcopy(model)
        if self.label is not None:
            check_own_label(self.event, self.features.served, self.when, self.label)

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, features={self.features.__name__}, task={self.task!r})"

    def _outcome(self, word: str, expr: object) -> Expr | None:
        """Check an expression that is computed when the label is known."""
        if expr is None:
            return None
        checked_expr = _expression(word, expr, "Chargeback.fraud")
        no_tables(checked_expr)
        for inner in [*windows(checked_expr), *lookups(checked_expr)]:
            refuse(
                f"{word}= reads {inner!r}: windows and tables in a {word} are not there yet",
                "Use columns of the label and of its event",
                inner.place,
            )
        for column in columns(checked_expr):
            cls = column.args[0]
            if cls is not self.event and not (is_label(cls) and event_of(cls) is self.event):
                refuse(
                    f"{word}= reads {column!r}, which is neither {self.event.__name__} nor a label of it",
                    f"Use columns of {self.event.__name__} and of its label",
                    column.place,
                )
        return checked_expr

    def _check_kinds(self) -> None:
        if self.label is not None:
            found = kind(self.label)
            if found in (Kind.TIME, Kind.SPAN):
                refuse(
                    f"label={self.label!r} is {kind_name(self.label)}",
                    "Make it a number: fn.seconds(a - b)",
                    self.label.place,
                )
            if not any(is_label(column.args[0]) for column in columns(self.label)):
                refuse(
                    f"label={self.label!r} reads no column of a Label: it is known with the event",
                    "Declare a Label class for what becomes known later",
                    self.label.place,
                )
        if self.weight is not None and kind(self.weight) not in NUMBERS:
            refuse(f"weight={self.weight!r} is {kind_name(self.weight)}", "A weight is a number", self.weight.place)
        if self.when is not None and kind(self.when) is not Kind.BOOL:
            refuse(f"when={self.when!r} is {kind_name(self.when)}", "Give it a condition, as x > 5", self.when.place)
        for one in self.slices:
            if kind(one) in (Kind.FLOAT, Kind.TIME):
                refuse(
                    f"slices= holds {one!r}, {kind_name(one)} with a slice for every value",
                    "Slice by a text, a whole number or a truth",
                    one.place,
                )

    def _label_stream(self) -> type[Any] | None:
        """Return the one Label class that label, weight and features read; refuse several."""
        found: dict[type[Any], Expr] = {}
        for expr in (self.label, self.weight):
            for column in columns(expr):
                if is_label(column.args[0]):
                    found.setdefault(column.args[0], column)
        for expr in [*self.features.served.values(), self.when]:
            for window in windows(expr):
                if is_label(window.args[0].source):
                    found.setdefault(window.args[0].source, window)
        if len(found) > 1:
            first, second = list(found)[:2]
            refuse(
                f"Pipeline {self.name!r} reads two labels, {first.__name__} and {second.__name__}: not there yet",
                f"Use one of them as the label, and declare {second.__name__} as an Event to gather it",
                found[second].place or self.place,
            )
        return next(iter(found), None)

    def _threshold(self, threshold: object) -> float:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
            refuse(f"threshold={threshold!r} is no number", "Write threshold=0.3")
        if self.task == "binary" and not 0 <= threshold <= 1:
            refuse(f"threshold={threshold!r} is no probability", "Write one from 0 to 1")
        if self.task not in ("binary", "anomaly") and threshold != _HALF:
            refuse(f"threshold= has no meaning for the task {self.task}", "Leave it out")
        return float(threshold)

    def _check_use(self) -> None:
        if self.weight is not None and (self.label is None or self.task in ("features", "anomaly")):
            refuse("weight= weighs labelled examples, and this pipeline learns none", "Leave it out", self.weight.place)
        if not self.features.served and self.task != "features":
            refuse(f"{self.features.__name__} serves no feature", "Write one: amount = fn.log1p(Payment.amount)")


def _features(name: object, features: object) -> type[Features]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        refuse(f"Pipeline({name!r}, ...) is no name", "Use letters, digits, _ and -, and begin with a letter")
    if not isinstance(features, type) or not issubclass(features, Features) or features is Features:
        refuse(f"features={shown(features)} is no Features class", "Give it the class: features=PaymentFeatures")
    return features


def _expression(word: str, value: object, example: str) -> Expr:
    if isinstance(value, Unfinished):
        no_window(value)
    if not isinstance(value, Expr):
        extra = "; for `is None` write fn.is_missing(x)" if isinstance(value, bool) else ""
        refuse(f"{word}={shown(value)} is no column or expression", f"Write {word}={example}{extra}")
    if value.tails is not None:
        refuse(f"{word}={value!r} holds a family", f"Pick one span, as n[{value.tails[0]!r}]", value.place)
    return value


def _row(of: type[Any], word: str, value: object) -> Expr | None:
    if value is None:
        return None
    expr = _expression(word, value, "Payment.amount > 5")
    check_row(of, expr, f"{word}=")
    return expr


def _columns(of: type[Any], word: str, given: object) -> tuple[Expr, ...]:
    if not isinstance(given, tuple | list | Expr):
        refuse(f"{word}={shown(given)} is no tuple of columns", f"Write a tuple of columns: {word}=(Payment.country,)")
    found = []
    for value in (given,) if isinstance(given, Expr) else given:
        expr = _expression(word, value, "(Payment.country,)")
        if not isinstance(expr, Column):
            refuse(f"{word}= holds {expr!r}, which is no column", "Give it columns of the event", expr.place)
        check_row(of, expr, f"{word}=")
        found.append(expr)
    return tuple(found)


def _flag(word: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(f"{word}={value!r}", f"Write {word}=True or {word}=False")
    return value


def _spec(word: str, value: Any, kind_of: type[Any]) -> Any:
    if not isinstance(value, kind_of):
        refuse(f"{word}={shown(value)} is no {kind_of.__name__}", f"Write {word}={kind_of.__name__}(...)")
    return value

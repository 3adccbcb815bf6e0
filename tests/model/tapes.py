"""A tiny symbol table, tapes made of dicts, and river by hand: the witness of every model test."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.model.fallback import ordered
from stream_ml.model.spec import Input, Tape


@dataclass
class Symbols:
    """Codes of texts; `first` moves them, as another run of the engine would."""

    first: int = 0
    known: dict[str, int] = field(default_factory=dict)

    def code(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([self.known.setdefault(text, self.first + len(self.known)) for text in texts], dtype=np.float64)

    def text(self, codes: NDArray[np.float64]) -> list[str]:
        back = {code: text for text, code in self.known.items()}
        return [back[int(code)] for code in codes]


@dataclass
class Op:
    """One operation: learn `y` with `weight` from x, or predict where y is None."""

    x: Mapping[str, Any]
    y: Any = None
    weight: float = 1.0


def number(value: Any, kind: str, symbols: Symbols) -> float:
    return float(symbols.code([value])[0]) if kind == "text" else float(value)


def tape(ops: Sequence[Op], inputs: Sequence[Input], symbols: Symbols, target: str = "float") -> Tape:
    """Return the tape of some operations, each with a row of its own; the rows stand in reverse order."""
    n = len(ops)
    x = np.full((n, len(inputs)), np.nan)
    y = np.full(n, np.nan)
    for i, op in enumerate(ops):
        for j, one in enumerate(inputs):
            if one.name in op.x:
                x[n - 1 - i, j] = number(op.x[one.name], one.kind, symbols)
        if op.y is not None:
            y[i] = number(op.y, target, symbols)
    learn = np.array([op.y is not None for op in ops], dtype=np.uint8)
    weight = np.array([op.weight for op in ops], dtype=np.float64)
    return Tape(learn=learn, row=np.arange(n, dtype=np.int64)[::-1].copy(), x=x, y=y, weight=weight)


def cut(whole: Tape, first: int, last: int) -> Tape:
    """Return operations first .. last - 1 of a tape."""
    part = slice(first, last)
    return Tape(whole.learn[part], whole.row[part], whole.x, whole.y[part], whole.weight[part])


def pairs(stream: Sequence[tuple[Mapping[str, Any], Any]], lag: int = 0) -> list[Op]:
    """Return predict-then-learn operations; with a lag, labels come `lag` records later."""
    ops: list[Op] = []
    for i, (x, _) in enumerate(stream):
        ops.append(Op(x))
        if i >= lag:
            ops.append(Op(stream[i - lag][0], stream[i - lag][1]))
    return ops


def by_hand(estimator: Any, ops: Sequence[Op], task: str) -> tuple[NDArray[np.float64], list[int], Any]:
    """Return the scores that river gives, called by hand, the operations at which it raised, the model as it ended."""
    model = ordered(copy.deepcopy(estimator))
    scores = np.full(len(ops), np.nan)
    raised = []
    for i, op in enumerate(ops):
        try:
            if op.y is None:
                scores[i] = (
                    model.predict_proba_one(dict(op.x))[True] if task == "binary" else model.predict_one(dict(op.x))
                )
            else:
                y = bool(op.y) if task == "binary" else op.y
                model.learn_one(dict(op.x), y, w=op.weight)
        except KeyError:
            raised.append(i)
    return scores, raised, model


def difference(ours: NDArray[np.float64], rivers: NDArray[np.float64]) -> float:
    """Return the largest |a - b| / max(1, |b|); the same values must be NaN."""
    assert np.array_equal(np.isnan(ours), np.isnan(rivers))
    known = ~np.isnan(rivers)
    apart = np.abs(ours[known] - rivers[known]) / np.maximum(1.0, np.abs(rivers[known]))
    return float(apart.max(initial=0.0))

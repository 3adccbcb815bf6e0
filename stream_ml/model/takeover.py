"""What a river estimator had already learned, as the state of a compiled model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import linear_model, preprocessing, utils

from stream_ml.model.analysis import Plan
from stream_ml.model.spec import Input

#: Numbers kept of a category, and of a link.
TERM = 3
LINK = 4


@dataclass(slots=True)
class Learned:
    """State by link and by category: `values` [L, 4], intercept, steps taken, and rows of categories in order."""

    values: NDArray[np.float64]
    intercept: float
    taken: int
    links: list[int]
    categories: list[str]
    rows: NDArray[np.float64]


def _plain(vector: Any) -> dict[str, float]:
    """Return river's VectorDict, dict or None as a dict of floats."""
    if vector is None:
        return {}
    items = vector.to_dict() if isinstance(vector, utils.VectorDict) else dict(vector)
    return {str(name): float(value) for name, value in items.items()}


def _moments(estimator: Any) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return by name: weights, and what the optimizer keeps beside them."""
    optimizer = estimator.optimizer
    first = getattr(optimizer, "g2", None) if hasattr(optimizer, "g2") else getattr(optimizer, "m", None)
    return _plain(estimator.weights), _plain(first), _plain(getattr(optimizer, "v", None))


def _scaler_row(step: Any, name: str) -> tuple[float, float, float, float]:
    if type(step) is preprocessing.MinMaxScaler:
        low = step.min[name].get() if name in step.min else np.inf
        high = step.max[name].get() if name in step.max else -np.inf
        return float(low), float(high), 0.0, 0.0
    variance = float(step.vars.get(name, 0.0))
    return float(step.counts.get(name, 0)), float(step.means.get(name, 0.0)), variance, math.sqrt(variance)


def _is_text_of(kind: str, text: str) -> bool:
    """Whether river could have made `text` from a feature of this kind; else it can never come again."""
    if kind == "text":
        return True
    if kind == "bool":
        return text in {"False", "True"}
    try:
        return str(int(text)) == text
    except ValueError:
        return False


def _places(plan: Plan) -> list[tuple[str, int]]:
    """Return (prefix of the one-hot names, link) of each encoded feature."""
    return [
        (f"{name}_", link)
        for _, block in plan.blocks
        for name, link in zip(block.names, range(block.first, block.last), strict=True)
    ]


def _named(plan: Plan, inputs: Sequence[Input], names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return, of the names that are one-hot columns, their link and text."""
    found: dict[str, tuple[int, str]] = {}
    places = _places(plan)
    for name in names:
        for prefix, link in places:
            text = name[len(prefix) :]
            if name.startswith(prefix) and _is_text_of(inputs[plan.links[link][1]].kind, text):
                found[name] = (link, text)
    return found


def learned(plan: Plan, inputs: Sequence[Input]) -> Learned:
    """Return the state that the estimator of a plan was given with; zeros for a fresh one.

    Parameters
    ----------
    plan
        The plan, which refers to river's own objects; they are only read.
    inputs
        The features as the model sees them.

    Raises
    ------
    TypeError, ValueError
        Where river's state is not made of numbers: then river has to run it.
    """
    values = np.zeros((len(plan.links), LINK))
    weights, first, second = _moments(plan.estimator)
    for i, (owner, name) in enumerate(plan.owners):
        if isinstance(owner, preprocessing.StandardScaler | preprocessing.MinMaxScaler):
            values[i] = _scaler_row(owner, name)
        elif isinstance(owner, linear_model.LinearRegression | linear_model.LogisticRegression):
            values[i, :TERM] = weights.get(name, 0.0), first.get(name, 0.0), second.get(name, 0.0)
    order: dict[str, None] = {}
    for encoder, block in plan.blocks:
        if not block.drop:
            order.update(dict.fromkeys(map(str, _zeros(encoder))))
    order.update(dict.fromkeys(weights))
    named = _named(plan, inputs, list(order))
    rows = [(weights.get(name, 0.0), first.get(name, 0.0), second.get(name, 0.0)) for name in named]
    return Learned(
        values=values,
        intercept=float(plan.estimator.intercept),
        taken=int(plan.estimator.optimizer.n_iterations),
        links=[link for link, _ in named.values()],
        categories=[text for _, text in named.values()],
        rows=np.array(rows, dtype=np.float64).reshape(len(rows), TERM),
    )


def _zeros(encoder: Any) -> Mapping[str, int]:
    """Return the names that an encoder emits at every row, in its order."""
    return encoder._zero_dict  # type: ignore[no-any-return]  # noqa: SLF001  (the only place where river keeps the order)

"""Which way a user's estimator runs: compiled as a whole, or by river."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stream_ml.model.analysis import analyse
from stream_ml.model.compiled import LinearModel
from stream_ml.model.fallback import RiverModel
from stream_ml.model.spec import Input, Model, Texts


def build(estimator: Any, inputs: Sequence[Input], task: str, texts: Texts, target: str = "text") -> Model:
    """Return a running model, compiled where every step of the estimator is, else river's own.

    Parameters
    ----------
    estimator
        The river estimator as the user wrote it; it is not changed, and what it has learned is taken over.
    inputs
        The features as the model sees them, in the order of the columns of `Tape.x`.
    task
        "binary", "multiclass", "regression" or "anomaly".
    texts
        The symbol table that gives texts for codes.
    target
        Kind of a multiclass target: "text" (symbol codes), "int", "bool" or "category".

    Returns
    -------
    Model
        Its `parts` say of each step whether it is compiled, and why.
    """
    plan, parts = analyse(estimator, inputs, task)
    if plan is not None:
        try:
            return LinearModel(plan, inputs, parts, texts)
        except (TypeError, ValueError) as error:
            why = f"what it had learned cannot be taken over ({error}), so river runs it"
            parts = tuple(replace(part, compiled=False, why=why) for part in parts)
    return RiverModel(estimator, inputs, task, texts, target, parts)

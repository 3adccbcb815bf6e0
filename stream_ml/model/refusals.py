"""What `check` says against an estimator before it ever runs."""

from __future__ import annotations

import inspect
import types
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from river import base, compose, feature_extraction, preprocessing

from stream_ml.model.fallback import takes_weight
from stream_ml.model.graph import last_step, objects, short_name
from stream_ml.model.spec import ANOMALY, BINARY, MULTICLASS, REGRESSION, Input

#: Packages of river that answer another question than the engine asks.
OTHER_VERBS: Final = {
    "bandit": "chooses arms",
    "reco": "ranks items for users",
    "time_series": "forecasts",
    "cluster": "clusters",
}
ASKED: Final = {
    BINARY: "predict_proba_one of a classifier",
    MULTICLASS: "predict_proba_one of a classifier",
    REGRESSION: "predict_one of a regressor",
    ANOMALY: "score_one of an anomaly detector",
}
#: Steps after which features still have the names that the pipeline gave them.
KEEPS_NAMES: Final = (
    compose.Pipeline,
    compose.TransformerUnion,
    compose.Select,
    compose.SelectType,
    compose.Discard,
    preprocessing.StandardScaler,
    preprocessing.MinMaxScaler,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or worth knowing, about an estimator, and what to do about it."""

    message: str
    cure: str
    is_warning: bool = False


def findings(
    estimator: Any, task: str, weighted: bool, inputs: Sequence[Input], missing: Collection[str] = ()
) -> list[Finding]:
    """Return what is wrong with an estimator for a task; empty where it can run.

    Parameters
    ----------
    estimator
        The river estimator as the user wrote it.
    task
        "binary", "multiclass", "regression" or "anomaly".
    weighted
        Whether the pipeline declares a weight.
    inputs
        The features as the model sees them.
    missing
        Names of features that may be missing.

    Examples
    --------
    >>> from river import anomaly
    >>> (found,) = findings(anomaly.HalfSpaceTrees(), "anomaly", False, [Input("amount", "float")])
    >>> found.message
    'anomaly.HalfSpaceTrees draws random numbers with seed=None: a restart would change its answers'
    >>> found.cure
    'Write anomaly.HalfSpaceTrees(seed=1)'
    """
    if not isinstance(estimator, base.Estimator):
        return [Finding(f"model= is a {type(estimator).__name__}, not a river estimator", "Write it as river users do")]
    found = [*_verbs(estimator, task), *_weights(estimator, task, weighted), *_unions(estimator)]
    held = list(objects(estimator))
    renamed = any(isinstance(item, base.Transformer) and not isinstance(item, KEEPS_NAMES) for item in held)
    for item in held:
        found += [*_seeds(item), *_names(item, inputs, missing, renamed), *_functions(item), *_zeros(item)]
    return list(dict.fromkeys(found))


def _verbs(estimator: Any, task: str) -> Iterator[Finding]:
    """Yield what is wrong with the object that answers."""
    final = last_step(estimator)
    name = short_name(final)
    package = name.split(".")[0]
    if package in OTHER_VERBS:
        said = f"{name} {OTHER_VERBS[package]}: the engine asks {ASKED[task]}"
        yield Finding(said, "Take another model")
    elif isinstance(final, base.Transformer):
        yield Finding(f"the pipeline ends in {name}, which answers nothing", "End it with an estimator")
    elif isinstance(final, base.MultiLabelClassifier | base.MultiTargetRegressor):
        yield Finding(f"{name} has many targets, and a pipeline has one label", f"Take a model for a {task} task")
    elif task == ANOMALY:
        yield from _detector(final, name)
    elif not isinstance(final, base.Regressor if task == REGRESSION else base.Classifier):
        kind = "regressor" if task == REGRESSION else "classifier"
        yield Finding(f"{name} is no {kind}, and the task is {task}", f"Take a {kind}")
    elif task == MULTICLASS and not getattr(final, "_multiclass", True):
        yield Finding(f"{name} knows two classes only", f"Write multiclass.OneVsRestClassifier({name}(...))")


def _detector(final: Any, name: str) -> Iterator[Finding]:
    score = getattr(type(final), "score_one", None)
    if score is None:
        yield Finding(
            f"{name} has no score_one, and the task is anomaly", "Take an anomaly detector, or declare a label"
        )
    elif "y" in inspect.signature(score).parameters:
        yield Finding(f"{name} needs the target to score", "Take a detector that scores features alone")


def _weights(estimator: Any, task: str, weighted: bool) -> Iterator[Finding]:
    name = short_name(last_step(estimator))
    if weighted and task == ANOMALY:
        yield Finding(f"{name} learns without weights, and weight= is declared", "Remove weight=")
    elif weighted and not takes_weight(estimator):
        cure = "Remove weight=, or take a model whose learn_one has w"
        yield Finding(f"{name} learns without weights, and weight= is declared", cure)


def _unions(estimator: Any) -> Iterator[Finding]:
    """Yield pipelines that river itself does not run as they are written."""
    for item in objects(estimator):
        if isinstance(item, compose.Pipeline) and any(
            isinstance(step, compose.Pipeline) for step in list(item.steps.values())[:-1]
        ):
            said = "a Pipeline is a step of a Pipeline: river learns from what comes into it, not from what comes out"
            yield Finding(said, "Write its steps one after the other with |")


def _seeds(item: Any) -> Iterator[Finding]:
    """Yield objects that draw random numbers without a seed."""
    if isinstance(item, base.Base) and "seed" in inspect.signature(type(item)).parameters:
        if getattr(item, "seed", 0) is None:
            name = short_name(item)
            said = f"{name} draws random numbers with seed=None: a restart would change its answers"
            yield Finding(said, f"Write {name}(seed=1)")


def _names(item: Any, inputs: Sequence[Input], missing: Collection[str], renamed: bool) -> Iterator[Finding]:
    """Yield selections of features that do not exist or may be absent."""
    if issubclass(type(item), compose.Select):  # isinstance asks the last step of a pipeline
        names = sorted(map(str, item.keys))
    elif issubclass(type(item), feature_extraction.BagOfWords) and item.on is not None:
        names = [str(item.on)]
    else:
        return
    known = [one.name for one in inputs]
    for name in names:
        if name in missing:
            said = f"{type(item).__name__} raises KeyError where {name!r} is missing, and it may be"
            yield Finding(said, f"Give {name} a value where it is missing: fn.fill(...)")
        elif name not in known:
            said = f"{type(item).__name__} names {name!r}, which is no feature"
            yield Finding(said, f"Features are {', '.join(known)}", is_warning=renamed)


def _functions(item: Any) -> Iterator[Finding]:
    if isinstance(item, types.FunctionType) and "<" in item.__qualname__ and not item.__module__.startswith("river."):
        said = f"the model holds {item.__qualname__}, which cannot be saved"
        yield Finding(said, "Write a named function at the top of the file")


def _zeros(item: Any) -> Iterator[Finding]:
    if type(item) is preprocessing.OneHotEncoder and not item.drop_zeros and item.categories is None:
        said = "OneHotEncoder() emits a zero for every value it ever saw: each record costs more as values grow"
        yield Finding(said, "Write OneHotEncoder(drop_zeros=True) where there are many values", is_warning=True)

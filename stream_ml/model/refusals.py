"""What `check` says against an estimator before it ever runs."""

from __future__ import annotations

import inspect
import types
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from river import base, compose, feature_extraction, preprocessing

from stream_ml.model.fallback import takes_weight
from stream_ml.model.graph import last_step, objects, short_name
from stream_ml.model.spec import ANOMALY, BINARY, MULTICLASS, REGRESSION, Input

#: Packages of river that answer another question than predict_one or score_one.
OTHER_VERBS = {"bandit": "chooses arms", "reco": "ranks items for users", "time_series": "forecasts", "cluster": "clusters"}
SAID = {
    BINARY: "predict_proba_one of a classifier",
    MULTICLASS: "predict_proba_one of a classifier",
    REGRESSION: "predict_one of a regressor",
    ANOMALY: "score_one of an anomaly detector",
}


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
    """
    if not isinstance(estimator, base.Estimator):
        return [Finding(f"model= is a {type(estimator).__name__}, not a river estimator", "Write it as river users do")]
    found = list(_verbs(estimator, task))
    if weighted and task != ANOMALY and not takes_weight(estimator):
        name = short_name(last_step(estimator))
        found.append(Finding(f"{name} learns without weights, and weight= is declared", "Remove weight=, or take a model that does"))
    if weighted and task == ANOMALY:
        found.append(Finding("a detector learns without weights, and weight= is declared", "Remove weight="))
    for item in objects(estimator):
        found.extend(_seeds(item))
        found.extend(_names(item, inputs, missing))
        found.extend(_functions(item))
        if type(item) is preprocessing.OneHotEncoder and not item.drop_zeros and item.categories is None:
            said = "OneHotEncoder() emits a zero for every value it ever saw: each record costs more as values grow"
            found.append(Finding(said, "Write OneHotEncoder(drop_zeros=True) where there are many values", is_warning=True))
    return list(dict.fromkeys(found))


def _verbs(estimator: Any, task: str) -> Iterator[Finding]:
    """Yield what is wrong with the object that answers."""
    final = last_step(estimator)
    package = type(final).__module__.split(".")
    if package[0] == "river" and package[1] in OTHER_VERBS:
        yield Finding(f"{short_name(final)} {OTHER_VERBS[package[1]]}: it has another verb than {SAID[task]}", "Take another model")
        return
    if isinstance(final, base.Transformer) and not isinstance(final, base.Classifier | base.Regressor):
        yield Finding(f"the pipeline ends in {short_name(final)}, which answers nothing", "End it with an estimator")
        return
    verb = "score_one" if task == ANOMALY else "predict_one"
    if not hasattr(final, verb) or isinstance(final, base.MultiLabelClassifier | base.MultiTargetRegressor):
        yield Finding(f"{short_name(final)} has no {SAID[task]}", f"The task is {task}: take a model for it")
        return
    if task == ANOMALY:
        if "y" in inspect.signature(type(final).score_one).parameters:
            yield Finding(f"{short_name(final)} needs the target to score", "Take a detector that scores features alone")
        return
    right = isinstance(final, base.Regressor) if task == REGRESSION else isinstance(final, base.Classifier)
    if not right:
        yield Finding(f"{short_name(final)} is no {'regressor' if task == REGRESSION else 'classifier'}", f"The task is {task}")
    elif task == MULTICLASS and not final._multiclass:  # noqa: SLF001  (river has no public name for it)
        yield Finding(f"{short_name(final)} knows two classes only", "Wrap it in multiclass.OneVsRestClassifier")


def _seeds(item: Any) -> Iterator[Finding]:
    """Yield objects that draw random numbers without a seed."""
    if isinstance(item, types.FunctionType) or not isinstance(item, base.Base):
        return
    if "seed" in inspect.signature(type(item)).parameters and getattr(item, "seed", 0) is None:
        name = short_name(item)
        yield Finding(f"{name} draws random numbers with seed=None: a restart would change its answers", f"Write {name}(seed=1)")


def _names(item: Any, inputs: Sequence[Input], missing: Collection[str]) -> Iterator[Finding]:
    """Yield selections of features that do not exist or may be absent."""
    if isinstance(item, compose.Select):
        names = sorted(map(str, item.keys))
    elif isinstance(item, feature_extraction.BagOfWords | feature_extraction.TFIDF) and item.on is not None:
        names = [str(item.on)]
    else:
        return
    known = {one.name for one in inputs}
    for name in names:
        if name in missing:
            said = f"{type(item).__name__} raises KeyError where {name!r} is missing, and it may be"
            yield Finding(said, f"Give it a value with fn.fill({name}, ...)")
        elif name not in known:
            yield Finding(f"{type(item).__name__} names {name!r}, which is no feature", f"Features: {', '.join(sorted(known))}")


def _functions(item: Any) -> Iterator[Finding]:
    if isinstance(item, types.FunctionType) and not item.__module__.startswith("river") and "<" in item.__qualname__:
        yield Finding(f"a FuncTransformer holds {item.__qualname__}, which cannot be saved", "Write a named function in the file")

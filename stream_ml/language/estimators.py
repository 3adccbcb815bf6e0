"""What a river estimator is for. River is imported here, when a pipeline is made, not with the package."""

from __future__ import annotations

from typing import Any

from stream_ml.language.kinds import Kind, kind, kind_name
from stream_ml.language.places import refuse, shown

TASKS = ("binary", "multiclass", "regression", "anomaly", "features")
_CLASSES = (Kind.TEXT, Kind.INT, Kind.CATEGORY)


def last_step(model: Any) -> Any:
    """Return the estimator that a model ends in, inside its pipelines and wrappers."""
    from river import compose  # noqa: PLC0415 (importing the package does not import river)

    while isinstance(model, compose.Pipeline):
        model = next(reversed(model.steps.values()))
    return model


def task_of(model: Any, label: Any) -> str:
    """Say what a model does with a label: one of `TASKS`; refuse pairs that do not go together."""
    if model is None:
        return "features"
    from river import base  # noqa: PLC0415 (the same)

    if isinstance(model, type):
        refuse(f"model={model.__name__} is a class", f"Make one: {model.__name__}()")
    if not isinstance(model, base.Base):
        refuse(f"model={shown(model)} is no river estimator", "Give it a river estimator or pipeline, or model=None")
    last = last_step(model)
    name = type(last).__name__
    if isinstance(last, base.AnomalyDetector | base.AnomalyFilter):
        return _anomaly(label, name)
    if label is None and isinstance(last, base.Classifier | base.Regressor):
        refuse(f"{name} learns from labels, and there is no label=", "Add label=Chargeback.fraud")
    if isinstance(last, base.Classifier):
        return _classifier(model, label, name)
    if isinstance(last, base.Regressor):
        return _regression(label, name)
    return refuse(
        f"{name} neither classifies, nor predicts a number, nor detects anomalies",
        "End the model in a classifier, a regressor or an anomaly detector, or give model=None for features only",
    )


def _classifier(model: Any, label: Any, name: str) -> str:
    found = kind(label)
    if found is Kind.BOOL:
        return "binary"
    if found not in _CLASSES:
        refuse(
            f"{name} tells classes apart, but the label {label!r} is {kind_name(label)}",
            "Compare it, as Arrival.delay > 15, or use a regressor",
        )
    if not model._multiclass:  # noqa: SLF001 (river has no public name for it)
        refuse(
            f"{name} tells two classes apart, but the label {label!r} is {kind_name(label)}",
            "Compare it, as Verdict.label == 'spam', or wrap it in river's multiclass.OneVsRestClassifier",
        )
    return "multiclass"


def _regression(label: Any, name: str) -> str:
    found = kind(label)
    if found not in (Kind.FLOAT, Kind.INT):
        cure = "Use a classifier, such as LogisticRegression" if found in (Kind.BOOL, Kind.TEXT) else "Make it a number"
        refuse(f"{name} predicts a number, but the label {label!r} is {kind_name(label)}", cure)
    return "regression"


def _anomaly(label: Any, name: str) -> str:
    if label is not None and kind(label) is not Kind.BOOL:
        refuse(
            f"{name} detects anomalies, and the label {label!r} that measures it is {kind_name(label)}",
            "Give it a condition, as Fault.code != 0",
        )
    return "anomaly"

"""What a pipeline allows: several partitions, and a learner apart from its scorers; refusals say what to do."""

from __future__ import annotations

from typing import Any

from stream_ml.errors import UsageError
from stream_ml.language.expr import Column, Expr
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import EventSpec, spec_of
from stream_ml.language.walk import as_tuple, is_label, windows
from stream_ml.model.build import build
from stream_ml.model.spec import Input, Part
from stream_ml.plan.bundle import compile_plan
from stream_ml.schema.symbols import Symbols

#: How `when=` is called among the features.
WHEN = "when="


def one_partition(pipeline: Pipeline) -> dict[str, str]:
    """Return what needs every record in one place, by feature (or label class), and why.

    A window is right on any number of partitions where all records of one of its keys come to one partition: the key of
    the records that it gathers, and of the events that read it, are among the columns that it is kept by.
    """
    event: Any = pipeline.event
    own: EventSpec = spec_of(event)  # type: ignore[assignment]
    found: dict[str, str] = {}
    for name, expr in (*pipeline.features.served.items(), (WHEN, pipeline.when)):
        for window in windows(expr):
            why = _apart(event, own.key, window)
            if why:
                found.setdefault(name, why)
    why = _label_apart(pipeline, own)
    if why and pipeline.label_stream is not None:
        found[pipeline.label_stream.__name__] = why
    return found


def _apart(event: type[Any], key: tuple[str, ...], window: Expr) -> str:
    """Return why the records of one key of a window may be in several partitions, "" where they cannot."""
    aggregate, _, by, at, *_ = window.args
    source = aggregate.source
    kept = f"kept by {by!r}" + (f", read by {at!r}" if at is not None else "")
    pairs = {
        (write.args[1], read.args[1])
        for write, read in zip(as_tuple(by), as_tuple(by if at is None else at), strict=True)
        if isinstance(write, Column) and isinstance(read, Column)
    }
    if not key or not set(key) <= {read for _, read in pairs}:
        return kept
    theirs = key if is_label(source) or issubclass(event, source) else spec_of(source).key  # type: ignore[union-attr]
    if len(theirs) != len(key) or not set(zip(theirs, key, strict=True)) <= pairs:
        return f"{kept}, and {source.__name__} is keyed by {', '.join(theirs) or 'nothing'}"
    return ""


def _label_apart(pipeline: Pipeline, own: EventSpec) -> str:
    """Return why a label may come to another partition than its event, "" where it cannot."""
    label: Any = pipeline.label_stream
    if label is None:
        return ""
    spec: Any = spec_of(label)
    if spec.on is None and spec.topic == own.topic:
        return ""
    if not own.key:
        return f"{pipeline.event.__name__} has no key that would bring a label to the partition of its event"
    if spec.on is not None and not set(own.key) <= set(spec.on):
        return f"it answers by {', '.join(spec.on) or 'nothing'}, which does not hold the key {', '.join(own.key)}"
    missing = [name for name in own.key if name not in label.model_fields]
    return f"it has no field {missing[0]}, the key of its event" if missing else ""


def require_partitions(pipeline: Pipeline, n: int) -> None:
    """Refuse a pipeline that needs every record in one place, where there are several partitions.

    Parameters
    ----------
    pipeline
        The declarations.
    n
        How many partitions its topics have.

    Raises
    ------
    UsageError
        With each feature, the reason and the cure.

    Examples
    --------
    >>> from stream_ml.demos.cards import pipeline
    >>> require_partitions(pipeline, 4)
    """
    found = one_partition(pipeline)
    if n <= 1 or not found:
        return
    key = ", ".join(spec_of(pipeline.event).key)  # type: ignore[union-attr]
    told = "; ".join(f"{name} ({why})" for name, why in found.items())
    without = f"give {pipeline.event.__name__} a key=, and keep these by it"
    other = f"keep these by the event's key ({key})" if key else without
    cure = f"Give it topics with one partition, or {other}"
    cause = f"{pipeline.name!r} needs every record in one partition, and there are {n}: {told}"
    raise UsageError(cause, cure)


def require_shared(pipeline: Pipeline, *, allow_pickle: bool) -> None:
    """Refuse a pipeline whose model cannot be learned in one place and served in another.

    Parameters
    ----------
    pipeline
        The declarations.
    allow_pickle
        Whether models that river itself runs may travel: as pickles, read through a list of what they may name.

    Raises
    ------
    UsageError
        With the reason and the cure.

    Examples
    --------
    >>> from stream_ml.demos.cards import pipeline
    >>> require_shared(pipeline, allow_pickle=False)
    """
    if pipeline.model is None:
        return
    require_features(pipeline)
    plan = compile_plan(pipeline)
    river = river_parts(pipeline, plan.learner.inputs)
    if river and not allow_pickle:
        cause = (
            f"the model of {pipeline.name!r} runs in river ({river[0].name}: {river[0].why}), so it could only travel "
            "from the learner to the scorers as a pickle, which is off"
        )
        cure = "Run it with one partition, where it learns in place; or take a compiled model; or allow pickled models"
        raise UsageError(cause, f"{cure} if nobody else can write to {pipeline.name}.models")


def require_features(pipeline: Pipeline) -> None:
    """Refuse a pipeline whose examples do not hold the features as served, where the learner has nothing else.

    Raises
    ------
    UsageError
        With the reason and the cure.
    """
    if pipeline.model is not None and not pipeline.store_features:
        cause = (
            f"{pipeline.name!r} keeps no features with its examples (store_features=False), and a learner apart from "
            "the scorers learns from examples alone"
        )
        raise UsageError(cause, "Write store_features=True, or run it with one partition, where it learns in place")


def river_parts(pipeline: Pipeline, inputs: tuple[Input, ...]) -> list[Part]:
    """Return the steps of the model that keep it from being compiled; none where it is."""
    model = build(pipeline.model, inputs, pipeline.task, Symbols())
    return [part for part in model.parts if not part.compiled]

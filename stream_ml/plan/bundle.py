"""The whole plan of a pipeline: scorer, learner, and the digest that says whether a state belongs to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import river
import river.base

from stream_ml.language.kinds import Kind, kind
from stream_ml.language.pipeline import Pipeline
from stream_ml.learner.machine import LearnerSpec
from stream_ml.model.spec import Input
from stream_ml.plan.compile import compile_scorer
from stream_ml.plan.refusals import refuse
from stream_ml.scorer.spec import ScorerSpec

#: Changed when the same declarations would give other answers or another state.
GENERATION = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled pipeline.

    Parameters
    ----------
    digest
        What the state depends on: declarations, model, generation of the engine.
    """

    name: str
    scorer: ScorerSpec
    learner: LearnerSpec
    store_features: bool
    digest: str


def compile_plan(pipeline: Pipeline) -> Plan:
    """Compile a pipeline.

    Raises
    ------
    DeclarationError
        When declarations cannot be carried out.
    """
    scorer = compile_scorer(pipeline)
    kinds = {"time": "int", "span": "float"}
    target = kind(pipeline.label) if pipeline.label is not None else Kind.FLOAT
    learner = LearnerSpec(
        task=pipeline.task,
        estimator=pipeline.model,
        inputs=tuple(Input(one.name, kinds.get(one.kind, one.kind)) for one in scorer.served),
        target=target.value if target in {Kind.TEXT, Kind.INT, Kind.BOOL, Kind.CATEGORY} else "text",
        threshold=pipeline.threshold,
        monitor=pipeline.monitor,
        slices=tuple(one.name for one in scorer.slices),
        at_once=pipeline.label is None or pipeline.task == "anomaly",
        lineage="",
    )
    refuse(pipeline, learner.inputs)
    digest = _digest(pipeline, scorer, learner)
    return Plan(
        pipeline.name, scorer, replace(learner, lineage=digest[:8]), pipeline.store_features, digest
    )


def _digest(pipeline: Pipeline, scorer: ScorerSpec, learner: LearnerSpec) -> str:
    seen = hashlib.sha256()
    streams = [_schema(stream.model) for stream in scorer.streams]
    model = (_model(pipeline.model), river.__version__)
    shown = replace(learner, estimator=None)
    plain = replace(scorer, streams=tuple(replace(stream, model=type(None)) for stream in scorer.streams))
    for part in (GENERATION, pipeline.name, plain, streams, shown, model, pydantic.VERSION.split(".")[0]):
        seen.update(repr(part).encode())
    return seen.hexdigest()


def _schema(model: type[Any]) -> str:
    fields = {name: (repr(field.annotation), repr(field.metadata)) for name, field in model.model_fields.items()}
    return repr((model.__name__, fields))


def _model(part: Any) -> Any:
    """Return what an estimator is, the same in every process: names and parameters, sets in order."""
    for steps in ("steps", "transformers"):
        if hasattr(part, steps):
            return [type(part).__name__, *(_model(one) for one in getattr(part, steps).values())]
    if isinstance(part, river.base.Base):
        parameters = part._get_params()  # noqa: SLF001  (river has no public name for it)
        return (type(part).__name__, sorted((name, repr(_model(value))) for name, value in parameters.items()))
    if isinstance(part, set | frozenset | tuple | list):
        return sorted(repr(_model(one)) for one in part)
    if isinstance(part, dict):
        return sorted((repr(key), repr(_model(value))) for key, value in part.items())
    return getattr(part, "__qualname__", None) or repr(part)

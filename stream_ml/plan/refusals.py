"""What is refused, or worth a warning, once a pipeline is compiled."""

from __future__ import annotations

from collections.abc import Sequence

from stream_ml.errors import DeclarationError
from stream_ml.language.pipeline import Pipeline
from stream_ml.model.refusals import Finding, findings
from stream_ml.model.spec import Input
from stream_ml.plan.missing import may_be_missing


def model_findings(pipeline: Pipeline, inputs: Sequence[Input]) -> list[Finding]:
    """Return what is wrong, or worth knowing, about the model over these inputs."""
    if pipeline.model is None:
        return []
    missing = [name for name, expr in pipeline.features.served.items() if may_be_missing(expr)]
    return findings(pipeline.model, pipeline.task, pipeline.weight is not None, inputs, missing)


def refuse(pipeline: Pipeline, inputs: Sequence[Input]) -> None:
    """Refuse a model that would not run, or not twice alike.

    Raises
    ------
    DeclarationError
        With the place of the pipeline, cause and cure.
    """
    for found in model_findings(pipeline, inputs):
        if not found.is_warning:
            raise error_of(found, pipeline)


def error_of(found: Finding, pipeline: Pipeline) -> DeclarationError:
    """Return a finding as the error that names the pipeline's place."""
    cure = found.cure if found.cure.endswith((".", "?")) else f"{found.cure}."
    return DeclarationError(found.message, cure, pipeline.place)

"""Outputs as JSON lines: predictions, examples, dead letters, alarms, metrics.

Predictions and examples are built by columns into msgspec structs made once for the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat, starmap
from typing import Any

import msgspec

from stream_ml.scorer.spec import Field

FATES = ("label", "silence", "none")
#: Raw bytes of a dead letter that are kept.
RAW = 64 * 1024
_ENCODER = msgspec.json.Encoder()


def _struct(name: str, fields: Sequence[str], *, defaults: Sequence[str] = ()) -> type[msgspec.Struct]:
    """Make a struct whose JSON names are `fields`; those in `defaults` are left out where they are false."""
    plain = {f"f{i}": field for i, field in enumerate(fields)}
    made = [(f"f{i}", Any, False) if field in defaults else (f"f{i}", Any) for i, field in enumerate(fields)]
    return msgspec.defstruct(name, made, rename=plain, omit_defaults=True, gc=False, kw_only=False)


def lines(structs: Iterable[Any]) -> bytes:
    """Return each as one line of JSON, ended by a line feed."""
    return _ENCODER.encode_lines(list(structs))


def encode(record: dict[str, Any]) -> bytes:
    """Return one record as JSON; what is not finite becomes null."""
    return _ENCODER.encode(record)


class Encoder:
    """The shapes of one pipeline's predictions and examples."""

    def __init__(
        self, task: str, served: Sequence[Field], carry: Sequence[Field], slices: Sequence[Field], lineage: str
    ) -> None:
        self.lineage = lineage
        self._features = _struct("Features", [field.name for field in served])
        self._slices = _struct("Slices", [field.name for field in slices])
        answer = {
            "binary": ["prediction", "score"],
            "anomaly": ["prediction", "score"],
            "multiclass": ["prediction", "probabilities"],
            "regression": ["prediction"],
            "features": [],
        }[task]
        self._carry = [field for field in carry if field.name not in {"id", "key", "at", *answer}]
        head = ["prediction_id", "id", "key", "at", *answer, "version"]
        tail = [field.name for field in self._carry]
        self._plain = _struct("Prediction", [*head, *tail, "late"], defaults=("late",))
        self._full = _struct("Prediction", [*head, "features", *tail, "late"], defaults=("late",))
        self._example = _struct(
            "Example",
            ["id", "key", "at", "received", "known", "fate", "target", "weight", "prediction", "score", "version",
             "features", "slices"],
        )  # fmt: skip

    def features(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Return a struct of feature values for each row, given a column each; missing ones are null."""
        return list(starmap(self._features, zip(*columns, strict=True)))

    def predictions(
        self, head: Sequence[Sequence[Any]], counts: Sequence[int], features: list[Any] | None,
        carry: Mapping[str, Sequence[Any]], late: Sequence[bool],
    ) -> bytes:  # fmt: skip
        """Return predictions: `head` holds id to answer by columns, `counts` the model's examples."""
        versions = list(zip(repeat(self.lineage), counts))  # one side never ends
        tail = [carry[field.name] for field in self._carry]
        if features is None:
            return lines(starmap(self._plain, zip(*head, versions, *tail, late, strict=True)))
        return lines(starmap(self._full, zip(*head, versions, features, *tail, late, strict=True)))

    def examples(
        self, head: Sequence[Sequence[Any]], counts: Sequence[int], features: list[Any] | None,
        slices: Sequence[Sequence[Any]],
    ) -> bytes:  # fmt: skip
        """Return examples: `head` holds id to score by columns."""
        versions = list(zip(repeat(self.lineage), counts))  # one side never ends
        n = len(versions)
        made = starmap(self._slices, zip(*slices, strict=True)) if slices else repeat(self._slices())
        given: Iterable[Any] = features if features is not None else repeat(None, n)
        rows = zip(*head, versions, given, made)  # noqa: B905  (the slices may be a repeat)
        return lines(starmap(self._example, rows))

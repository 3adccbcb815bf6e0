"""The shapes of a pipeline's predictions and examples, and single records as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stream_ml.scorer.spec import Field
from stream_ml.scorer.store import AT, PREDICTED, RECEIVED, SCORE, VERSION
from stream_ml.sessions.forms import Form, Hole

#: Raw bytes of a dead letter that are kept.
RAW = 64 * 1024
#: A version in a column: the number of its lineage times this, and its count of examples.
EACH_LINEAGE = 1 << 40
_ENCODER = msgspec.json.Encoder()


def encode(record: dict[str, Any]) -> bytes:
    """Return one record as JSON; what is not finite becomes null."""
    return _ENCODER.encode(record)


@dataclass(frozen=True, slots=True)
class Event:
    """Where an event's values stand.

    Parameters
    ----------
    place
        Topic and partition, as in a prediction's id, up to the offset.
    id
        The declared id, None where the place is the id.
    key
        Kinds of the key's fields.
    own
        The first of the scorer's own columns of a slot.
    keys, served, slices
        Columns of a slot: the key, the features, the slice columns.
    """

    place: str
    id: Field | None
    key: Sequence[Field]
    own: int
    keys: Sequence[int]
    served: Sequence[int]
    slices: Sequence[int]


class Encoder:
    """The shapes of one pipeline's predictions and examples.

    Parameters
    ----------
    lineages
        Lines of models in the order in which they were taken up.
    shared
        Whether models come from elsewhere, so that records of one batch may name several lines of models.
    """

    def __init__(
        self, task: str, served: Sequence[Field], carry: Sequence[Field], slices: Sequence[Field],
        lineages: list[str], *, shared: bool = False,
    ) -> None:  # fmt: skip
        self.lineages, self.shared = lineages, shared
        self._task, self._served, self._slices = task, served, slices
        answer = {"binary": {"score"}, "anomaly": {"score"}, "multiclass": {"probabilities"}}.get(task, set())
        left_out = {"id", "key", "at", *answer, *(() if task == "features" else ("prediction",))}
        #: Carried columns that predictions hold beside their own members.
        self.carry = [field for field in carry if field.name not in left_out]

    def predictions(self, event: Event, target: str, *, features: bool) -> Form:
        """Return the shape of predictions.

        Columns to be given: the offset, the id, multi-class probabilities, where models come from elsewhere the version
        (lineage, count), what is carried, whether it is late.
        """
        own, members = event.own, self._named(event)
        members[:0] = [("prediction_id", Hole("word", before=event.place))]
        members += [("at", Hole("time", own + AT)), *self._answer(own, target)]
        members += [("version", self._version(own))]
        if features and self._served:
            members += [("features", _object(self._served, event.served))]
        members += [(field.name, Hole(field.kind)) for field in self.carry]
        return Form([*members, ("late", Hole("late"))])

    def examples(self, event: Event, target: str | None, *, features: bool) -> Form:
        """Return the shape of examples.

        Columns to be given: the id, when the outcome was known, with a target its fate, target and weight, where models
        come from elsewhere the version (lineage, count).
        """
        own, kind = event.own, "float" if target is None else target
        answered = {"binary": "bool", "anomaly": "bool", "multiclass": kind}.get(self._task, "float")
        return Form([
            *self._named(event),
            ("at", Hole("time", own + AT)),
            ("received", Hole("time", own + RECEIVED)),
            ("known", Hole("word")),
            ("fate", "none" if target is None else Hole("fate")),
            ("target", Hole(kind)),
            ("weight", Hole("float")),
            ("prediction", Hole(answered, own + PREDICTED)),
            ("score", Hole("float", own + SCORE)),
            ("version", self._version(own)),
            ("features", _object(self._served, event.served) if features and self._served else None),
            ("slices", _object(self._slices, event.slices)),
        ])  # fmt: skip

    def _version(self, own: int) -> list[Any]:
        return [Hole("text"), Hole("word")] if self.shared else [self.lineages[0], Hole("int", own + VERSION)]

    def _named(self, event: Event) -> list[tuple[str, Any]]:
        """Return the members that say which event it is."""
        named = Hole("word", before=event.place) if event.id is None else Hole(event.id.kind)
        key = [Hole(one.kind, slot) for one, slot in zip(event.key, event.keys, strict=True)]
        return [("id", named), ("key", key if len(key) > 1 else key[0] if key else None)]

    def _answer(self, own: int, target: str) -> list[tuple[str, Any]]:
        if self._task == "features":
            return []
        if self._task == "regression":
            return [("prediction", Hole("float", own + SCORE))]
        if self._task == "multiclass":
            return [("prediction", Hole(target, own + PREDICTED)), ("probabilities", Hole("json"))]
        return [("prediction", Hole("bool", own + PREDICTED)), ("score", Hole("float", own + SCORE))]


def _object(fields: Sequence[Field], slots: Sequence[int]) -> dict[str, Hole]:
    return {field.name: Hole(field.kind, slot) for field, slot in zip(fields, slots, strict=True)}

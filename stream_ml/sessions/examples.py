"""Examples as the scorers wrote them, back to columns; what somebody else wrote is told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import Reason
from stream_ml.plan.bundle import Plan
from stream_ml.schema.decoder import LIMIT
from stream_ml.schema.symbols import Symbols
from stream_ml.schema.verdict import Bad
from stream_ml.scorer.spec import Field

F8 = NDArray[np.float64]
CATEGORY: Final = "category"
EXACT: Final = 2**53
_Whole = Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)]
#: What each kind of column is in JSON; a null is missing.
_TYPES: Final[Mapping[str, Any]] = {
    "float": float | None, "span": float | None, "int": _Whole | None, "time": _Whole | None, "bool": bool | None,
    "text": str | None, "category": str | None,
}  # fmt: skip
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples in order.

    Parameters
    ----------
    rows
        Which of the records they are, int64[n], ascending.
    x
        Features as served [n, f].
    target, weight
        NaN where there is none.
    predicted, score
        As served; NaN where there was none.
    known
        int64[n]: when the label was known, epoch ms.
    versions
        (lineage, count) of the model that had answered.
    unheard
        Of each whether nothing was waited for: it has no label and never will.
    slices
        Texts of each slice column; None is missing.
    bad
        Records that are no examples, ascending.
    """

    rows: NDArray[np.int64]
    x: F8
    target: F8
    weight: F8
    predicted: F8
    score: F8
    known: NDArray[np.int64]
    versions: list[tuple[str, int]]
    unheard: NDArray[np.bool_]
    slices: list[list[str | None]]
    bad: list[Bad]


class Reader:
    """Reads examples of one pipeline; one verb, :meth:`read`.

    Parameters
    ----------
    plan
        What the pipeline compiles to.
    symbols
        Gives texts their codes.
    """

    def __init__(self, plan: Plan, symbols: Symbols) -> None:
        spec, task = plan.scorer, plan.learner.task
        self._symbols = symbols
        self._served, self._slices = spec.served, spec.slices
        self._kind = spec.target.kind if spec.target is not None else "float"
        self._labelled = spec.target is not None
        self._at_once = plan.learner.at_once
        self._answer = "bool" if task in {"binary", "anomaly"} else self._kind if task == "multiclass" else "float"
        example = msgspec.defstruct(
            "Example",
            [
                ("fate", Literal["label", "silence", "none"]), ("known", _Whole), ("target", _TYPES[self._kind]),
                ("weight", float | None), ("prediction", _TYPES[self._answer]), ("score", float | None),
                ("version", tuple[str, _Whole]), ("features", _object("Features", self._served)),
                ("slices", _object("Slices", self._slices)),
            ],
            gc=False,
        )  # fmt: skip
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(example).decode
        self._categories = [
            (one.name, attrgetter(f"c{j}")) for j, one in enumerate(spec.served) if one.kind == CATEGORY
        ]

    def read(self, values: Sequence[bytes]) -> Examples:
        """Return the examples among records, and what is wrong with the others."""
        try:
            return self._read(values, closely=False)
        except _NoCategoryError:
            return self._read(values, closely=True)

    def _read(self, values: Sequence[bytes], *, closely: bool) -> Examples:
        found: list[Any] = []
        rows: list[int] = []
        bad: list[Bad] = []
        for at, value in enumerate(values):
            one = self._one(at, value)
            if closely and not isinstance(one, Bad):
                one = self._close(at, one)
            if isinstance(one, Bad):
                bad.append(one)
            else:
                found.append(one)
                rows.append(at)
        features, slices = [one.features for one in found], [one.slices for one in found]
        x = np.empty((len(found), len(self._served)))
        for j, one in enumerate(self._served):
            x[:, j] = self._numbers(_column(features, j), one.kind)
        return Examples(
            np.array(rows, np.int64), x,
            target=self._numbers([one.target for one in found], self._kind),
            weight=self._numbers([one.weight for one in found], "float"),
            predicted=self._numbers([one.prediction for one in found], self._answer),
            score=self._numbers([one.score for one in found], "float"),
            known=np.array([one.known for one in found], np.int64),
            versions=[one.version for one in found],
            unheard=np.array([one.fate == _NONE for one in found], np.bool_),
            slices=[_told(_column(slices, j)) for j in range(len(self._slices))],
            bad=bad,
        )  # fmt: skip

    def _one(self, at: int, value: bytes) -> Any:
        if not value or value.isspace():
            return Bad(at, Reason.EMPTY, "$", "the record is empty")
        if len(value) > LIMIT:
            return Bad(at, Reason.SIZE, "$", f"{len(value):,} bytes; at most {LIMIT:,} are read")
        try:
            one = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _verdict(at, error)
        if one.target is None and self._labelled and not (self._at_once and one.fate == _NONE):
            return Bad(at, Reason.MISSING, "$.target", "an example without its label teaches nothing")
        return one

    def _close(self, at: int, one: Any) -> Any:
        """Return an example whose categories are numbers, or what is wrong with it."""
        told = [(f"$.features.{name}", get(one.features)) for name, get in self._categories]
        if self._kind == CATEGORY:
            told += [("$.target", one.target), ("$.prediction", one.prediction)]
        for path, text in told:
            try:
                numbers_of([text])
            except _NoCategoryError:
                return Bad(at, Reason.CONSTRAINT, path, f"{text!r} is no category: a whole number as text")
        return one

    def _numbers(self, column: list[Any], kind: str) -> F8:
        """Return a column as registers hold it: NaN is missing, a text is its code."""
        if kind == "text":
            return self._symbols.code(column)
        return numbers_of(column) if kind == CATEGORY else np.array(column, np.float64)


def numbers_of(column: list[str | None]) -> F8:
    """Return the numbers of categories, whose texts are their decimal forms; NaN is missing."""
    try:
        found: list[int | None] = msgspec.convert(column, list[_Whole | None], strict=False)
    except msgspec.ValidationError:
        raise _NoCategoryError from None
    return np.array(found, np.float64)


class _NoCategoryError(Exception):
    """A text that is no category: the records are read again, each closely, to find whose it is."""


def _object(name: str, fields: Sequence[Field]) -> type[msgspec.Struct]:
    names = {f"c{i}": one.name for i, one in enumerate(fields)}
    made = [(f"c{i}", _TYPES[one.kind]) for i, one in enumerate(fields)]
    return msgspec.defstruct(name, made, rename=names, gc=False)


def _column(objects: list[Any], j: int) -> list[Any]:
    return list(map(attrgetter(f"c{j}"), objects))


def _told(column: list[Any]) -> list[str | None]:
    return [one if one is None or isinstance(one, str) else str(one) for one in column]


def _verdict(at: int, error: Exception) -> Bad:
    """Return what msgspec says against a record as a verdict."""
    said, _, path = str(error).partition(" - at `")
    path = path.removesuffix("`") or "$"
    if not isinstance(error, msgspec.ValidationError):
        return Bad(at, Reason.JSON, "$", f"not valid JSON: {said}")
    if said.startswith("Object missing required field"):
        field = said.split("`")[1]
        return Bad(at, Reason.MISSING, f"{path}.{field}", "the field is missing")
    if "out of range" in said or "`int` >=" in said or "`int` <=" in said:
        return Bad(at, Reason.NUMBER, path, said)
    if "enum value" in said:
        return Bad(at, Reason.CONSTRAINT, path, said)
    return Bad(at, Reason.TYPE, path, said)

"""From the bytes of many records to columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stream_ml.errors import DeclarationError
from stream_ml.schema import arrow, fast, fields
from stream_ml.schema.fields import Field, Kind
from stream_ml.schema.lines import taken
from stream_ml.schema.scan import LEAST, Scanned
from stream_ml.schema.texts import Texts
from stream_ml.schema.verdict import Bad, Judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pydantic import BaseModel

    from stream_ml.schema.fast import Fast

#: Most bytes a record may have.
LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Columns:
    """The accepted records of a batch as columns, and the refused ones.

    Parameters
    ----------
    n
        How many records were accepted.
    rows
        Which they are, int64[n], ascending indices into the batch.
    numbers
        float64[n] for each wanted float, int, bool and time (epoch ms, UTC) field; NaN is missing.
    texts
        For each wanted str, Enum and Literal field; None is missing.
    bad
        The refused records, ascending.
    """

    n: int
    rows: NDArray[np.int64]
    numbers: dict[str, NDArray[np.float64]]
    texts: Texts
    bad: tuple[Bad, ...]


class Decoder:
    """Decodes and validates JSON records of one pydantic class; one verb, :meth:`decode`, and no state.

    Where the class allows it, a fast decoder stands in front of pydantic. What the fast one accepts, pydantic accepts
    with equal values; what it refuses goes to pydantic, whose verdict counts. Beyond pydantic, a record is refused
    when it is empty or too long, when a declared number is not finite or is an integer beyond ±2^53, when a time lies
    outside the years 1 to 9999, and when a key is null. Times without a zone are UTC; parts of a millisecond are
    floored.

    Parameters
    ----------
    model
        The pydantic class that says what a record is.
    wanted
        Fields to return as columns.
    required_present
        Fields (id, key) that must not be null.
    limit
        Most bytes that a record may have.

    Raises
    ------
    DeclarationError
        When a field that is wanted does not exist, or is of a type that makes no column.

    Examples
    --------
    >>> from pydantic import BaseModel
    >>> class Payment(BaseModel):
    ...     card: str
    ...     amount: float
    >>> decoder = Decoder(Payment, wanted=("card", "amount"))
    >>> columns = decoder.decode([b'{"card": "c1", "amount": 3}', b'{"card": "c2", "amount": "much"}'])
    >>> columns.texts["card"], columns.numbers["amount"].tolist(), columns.rows.tolist()
    (['c1'], [3.0], [0])
    >>> columns.bad[0].path, columns.bad[0].message
    ('$.amount', 'expected a number, got "much"')
    """

    def __init__(
        self,
        model: type[BaseModel],
        wanted: Iterable[str],
        required_present: Iterable[str] = (),
        *,
        limit: int = LIMIT,
    ) -> None:
        shape = fields.read(model)
        keys = tuple(required_present)
        chosen = tuple(dict.fromkeys(wanted))
        for name in (*keys, *chosen):
            _check(model, shape.fields, name)
        self._numbers = tuple(name for name in chosen if shape.fields[name].kind is not Kind.TEXT)
        self._texts = tuple(name for name in chosen if shape.fields[name].kind is Kind.TEXT)
        self._limit = limit
        self._judge = Judge(model, shape.fields, keys, limit)
        self._fast, self.why = fast.build(shape, keys)

    @property
    def compiled(self) -> bool:
        """Whether the fast decoder stands in front of pydantic; if not, :attr:`why` says what prevents it."""
        return self._fast is not None

    def is_text(self, name: str) -> bool:
        """Return whether a wanted field comes as texts."""
        return name in self._texts

    def decode(self, values: Sequence[bytes]) -> Columns:
        """Decode a batch of records.

        Parameters
        ----------
        values
            The records, one JSON object each; a log's null value is given as ``b""``.

        Returns
        -------
        Columns
            The accepted records as columns, in their order, and the refused ones.
        """
        if self._fast is None:
            return self._merge(list(values), (), {}, range(len(values)))
        scan = self._fast.scan
        scanned = arrow.read(scan, values, self._limit) if scan is not None and len(values) >= LEAST else None
        return self._one_by_one(self._fast, list(values)) if scanned is None else self._completed(scanned, values)

    def _one_by_one(self, quick: Fast, values: Sequence[bytes]) -> Columns:
        structs, refused = quick.structs(values, self._limit)
        there = structs if not refused else [one for one in structs if one is not None]
        times = {name: fast.parse_times(quick.column(name, there)) for name in quick.times}
        doubts = self._doubts(quick, there, times)
        if not refused and not len(doubts):
            numbers = {name: times[name] if name in times else self._number(name, there) for name in self._numbers}
            texts = {name: quick.column(name, there) for name in self._texts}
            return Columns(len(values), np.arange(len(values)), numbers, Texts(texts), ())
        there_at = np.flatnonzero([one is not None for one in structs])
        for name, column in times.items():
            times[name] = np.full(len(values), np.nan)
            times[name][there_at] = column
        return self._merge(values, structs, times, sorted({*refused, *there_at[doubts].tolist()}))

    def _completed(self, scanned: Scanned, values: Sequence[bytes]) -> Columns:
        """Decode what the scan was not sure of, and put it in its place."""
        numbers = {name: scanned.numbers[name] for name in self._numbers}
        rest, rows = np.flatnonzero(~scanned.sure), np.arange(len(values))
        if not rest.size:
            return Columns(len(values), rows, numbers, scanned.texts.only(self._texts), ())
        found = self._one_by_one(cast("Fast", self._fast), list(taken(values, rest)))
        places = rest[found.rows]
        bad = tuple(replace(one, index=int(rest[one.index])) for one in found.bad)
        rows = np.delete(rows, [one.index for one in bad])
        for name, column in found.numbers.items():
            numbers[name][places] = column
        texts = {}
        for name, column_of in found.texts.items():
            known = scanned.texts[name]
            for place, text in zip(places.tolist(), column_of, strict=True):
                known[place] = text
            texts[name] = [known[row] for row in rows.tolist()]
        return Columns(len(rows), rows, {name: numbers[name][rows] for name in numbers}, Texts(texts), bad)

    def _number(self, name: str, structs: list[Any]) -> NDArray[np.float64]:
        return np.array(cast("Fast", self._fast).column(name, structs), dtype=np.float64)

    def _doubts(self, quick: Fast, structs: list[Any], times: dict[str, NDArray[np.float64]]) -> NDArray[np.int64]:
        """Return the places of records that the struct accepted but that have a null key or a time not understood."""
        wrong: NDArray[np.bool_] | None = None
        for name, column in times.items():
            unknown = np.isnan(column)
            if unknown.any():
                null = [value is None for value in quick.column(name, structs)]
                unknown &= ~np.array(null, dtype=np.bool_)
                wrong = unknown if wrong is None else wrong | unknown
        for name in quick.keys:
            key = quick.column(name, structs)
            if None in key:
                null_key = np.array([value is None for value in key], dtype=np.bool_)
                wrong = null_key if wrong is None else wrong | null_key
        return np.flatnonzero(wrong) if wrong is not None else _NONE

    def _merge(
        self,
        values: Sequence[bytes],
        structs: Sequence[Any],
        times: dict[str, NDArray[np.float64]],
        ask: Sequence[int],
    ) -> Columns:
        """Ask pydantic about the records `ask`, and make columns of what it and the struct accepted."""
        judged = [self._judge.judge(index, values[index]) for index in ask]
        bad = tuple(one for one in judged if isinstance(one, Bad))
        slow = {index: one for index, one in zip(ask, judged, strict=True) if not isinstance(one, Bad)}
        asked = np.array(ask, dtype=np.int64)
        quick = np.setdiff1d(np.arange(len(values)), asked, assume_unique=True)
        rows = np.setdiff1d(np.arange(len(values)), np.array([one.index for one in bad], dtype=np.int64))
        kept = [structs[index] for index in quick.tolist()]
        slow_at = np.array(list(slow), dtype=np.int64)
        numbers = {}
        for name in self._numbers:
            column = times.get(name, np.full(len(values), np.nan))
            if kept and name not in times:
                column[quick] = self._number(name, kept)
            column[slow_at] = np.array([one[name] for one in slow.values()], dtype=np.float64)
            numbers[name] = column[rows]
        texts = {}
        for name in self._texts:
            known: list[str | None] = [None] * len(values)
            for index, text in zip(quick.tolist(), self._fast.column(name, kept) if self._fast else (), strict=True):
                known[index] = text
            for index, one in slow.items():
                known[index] = one[name]
            texts[name] = [known[index] for index in rows.tolist()]
        return Columns(len(rows), rows, numbers, Texts(texts), bad)


_NONE = np.empty(0, dtype=np.int64)


def _check(model: type[BaseModel], known: dict[str, Field], name: str) -> None:
    if name not in known:
        cause = f"{model.__name__} has no field {name}"
        raise DeclarationError(cause, f"It has {', '.join(known)}")
    if known[name].kind is Kind.OTHER:
        cause = f"{model.__name__}.{name} is of a type that makes no column"
        raise DeclarationError(
            cause, "Use float, int, bool, str, datetime, an Enum or a Literal of texts or of integers"
        )

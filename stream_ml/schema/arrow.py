"""Rows of Arrow columns as records: their columns as they stand, and one by one the JSON that a log would hold."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_ml.kernels import scan as kernels
from stream_ml.kernels.stamps import FIRST_MS, LAST_MS
from stream_ml.schema.cells import absent, quoted, records
from stream_ml.schema.fields import EXACT, WATERSHED, Shape
from stream_ml.schema.lines import Block
from stream_ml.schema.scan import Plain, Scan, Scanned
from stream_ml.schema.texts import Texts, Utf8, gathered

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Flags = NDArray[np.bool_]
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
#: JSON takes at most so many bytes for one of a text, and for anything else.
ESCAPED, OTHER = 6, 64


class ArrowRows(Block):
    """The rows of a record batch; one by one they are JSON objects.

    Parameters
    ----------
    batch
        A pyarrow record batch.
    shape
        The class of the records.
    chosen
        The column of each field that is there, by the field's name.
    """

    __slots__ = ("batch", "chosen", "shape")

    def __init__(self, batch: Any, shape: Shape, chosen: dict[str, str]) -> None:
        self.batch, self.shape, self.chosen = batch, shape, chosen

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> ArrowRows: ...
    def __getitem__(self, at: int | slice) -> bytes | ArrowRows:
        places = range(len(self))[at]
        if isinstance(places, range):
            if places.step != 1:
                return self.take(np.array(places, np.int64))
            return self._of(self.batch.slice(places.start, len(places)))
        return next(iter(self._of(self.batch.slice(places, 1))))

    def __iter__(self) -> Iterator[bytes]:
        columns = {name: self._written(name, column) for name, column in self.chosen.items()}
        return iter(records(self.shape, columns) if columns else [b"{}"] * len(self))

    def take(self, at: I8) -> ArrowRows:
        """Return the records at these places, in this order."""
        if at.size and int(at[-1]) - int(at[0]) == at.size - 1 and bool((np.diff(at) == 1).all()):
            return self._of(self.batch.slice(int(at[0]), at.size))
        return self._of(self.batch.take(_arrow().array(at)))

    @classmethod
    def joined(cls, parts: Sequence[ArrowRows]) -> ArrowRows | None:
        """Return the records of all parts, one part after the other; None where their columns differ."""
        first = parts[0]
        if not all(one.batch.schema.equals(first.batch.schema) and one.chosen == first.chosen for one in parts):
            return None
        table = _arrow().Table.from_batches([one.batch for one in parts]).combine_chunks()
        (batch,) = table.to_batches() or [first.batch]
        return first._of(batch)  # noqa: SLF001 - one of its own kind

    def column(self, name: str) -> Any:
        """Return a field's column, None where there is none."""
        return self.batch.column(self.chosen[name]) if name in self.chosen else None

    def _written(self, name: str, column: str) -> list[str]:
        """Return the literals of a field; a null stands for the default where there is one, as an empty cell does."""
        found, nothing = literals(self.batch.column(column)), absent(self.shape.fields[name])
        return found if nothing == "null" else [nothing if one == "null" else one for one in found]

    def _of(self, batch: Any) -> ArrowRows:
        return ArrowRows(batch, self.shape, self.chosen)


class ArrowTexts(Texts):
    """Texts that stand in Arrow columns.

    Parameters
    ----------
    columns
        By field: arrays of strings, or of places in a dictionary of strings.
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__({})
        self._columns = columns

    def __getitem__(self, name: str) -> list[str | None]:
        found: list[str | None] = self._columns[name].to_pylist()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def only(self, names: Any) -> ArrowTexts:
        """Return some of the columns."""
        return ArrowTexts({name: self._columns[name] for name in names if name in self._columns})

    def utf8(self, name: str) -> Utf8:
        """Return a column as bytes."""
        column = self._columns[name]
        return _chosen(column) if _is_dictionary(column) else _utf8(column)

    def codes(self, name: str, intern: Callable[[NDArray[np.uint8], I8], F8]) -> F8:
        """Return the code of each text; one of a dictionary is asked for once."""
        column = self._columns[name]
        if not _is_dictionary(column) or len(column.dictionary) > len(column):
            return intern(*self.utf8(name))
        known = intern(*_utf8(column.dictionary))
        places, there = _numpy(column.indices)
        found = known.take(places)
        if there is not None:
            found[~there] = np.nan
        return found


def _utf8(column: Any) -> Utf8:
    """Return an array of strings as bytes one after the other and where each ends (-1 - end for a missing one)."""
    stops = _stops(column)
    first, last = int(stops[0]), int(stops[-1])
    ends = np.subtract(stops[1:], first, dtype=np.int64)
    if column.null_count:
        absent = column.is_null().to_numpy(zero_copy_only=False)
        ends[absent] = -1 - ends[absent]
    if last == first:
        return np.zeros(1, np.uint8), ends
    return np.frombuffer(column.buffers()[2], np.uint8)[first:last].copy(), ends


def _chosen(column: Any) -> Utf8:
    """Return the texts of an array of places in a dictionary as :func:`_utf8` does; none of the dictionary is null."""
    raw, stops = _utf8(column.dictionary)
    which, there = _numpy(column.indices)
    if not stops.size:
        return raw, np.full(which.size, -1, np.int64)
    sizes = np.diff(stops, prepend=0)
    places = np.stack([stops - sizes, sizes, sizes], axis=1).take(which, axis=0)
    if there is None:
        return gathered(raw, places)
    places[~there, 1] = 0
    found, ends = gathered(raw, places)
    ends[~there] = -1 - ends[~there]
    return found, ends


def _stops(column: Any) -> NDArray[Any]:
    """Return where the first of an array's strings begins, and where each ends."""
    if not len(column):
        return np.zeros(1, np.int64)
    width = np.int64 if _arrow().types.is_large_string(column.type) else np.int32
    return np.frombuffer(column.buffers()[1], width)[column.offset : column.offset + len(column) + 1]


def read(scan: Scan, values: Sequence[bytes], limit: int) -> Scanned | None:
    """Return the columns of records as :meth:`stream_ml.schema.scan.Scan.read` does, however the records stand."""
    if not isinstance(values, ArrowRows):
        return scan.read(values, limit)
    sure = _short(values, limit)
    numbers: dict[str, F8] = {}
    texts: dict[str, Any] = {}
    for field in scan.fields:
        column = values.column(field.name)
        if column is None and (field.needed or field.kind == kernels.TEXT):
            return None
        if column is None:
            numbers[field.name] = np.full(len(values), field.default)
        elif field.kind == kernels.TEXT:
            text = _text(column, field, sure)
            if text is None:
                return None
            texts[field.name] = text
        else:
            number = _number(column, field, sure)
            if number is None:
                return None
            numbers[field.name] = number
    return Scanned(numbers, ArrowTexts(texts), sure)


def _short(values: ArrowRows, limit: int) -> Flags:
    """Return which rows are surely no longer than allowed, as JSON."""
    batch, n = values.batch, len(values)
    fixed = OTHER * (batch.num_columns + 1) + sum(ESCAPED * len(name.encode()) for name in batch.schema.names)
    texts = [column for column in batch.columns if _is_text(column)]
    longest = [int(np.diff(_stops(one.dictionary if _is_dictionary(one) else one)).max(initial=0)) for one in texts]
    if ESCAPED * sum(longest) + fixed <= limit:
        return np.ones(n, np.bool_)
    sizes = np.full(n, fixed, np.int64)
    for column in texts:
        plain = column.dictionary_decode() if _is_dictionary(column) else column
        lengths, _ = _numpy(importlib.import_module("pyarrow.compute").binary_length(plain))
        sizes += ESCAPED * lengths.astype(np.int64)
    return sizes <= limit


def _text(column: Any, field: Plain, sure: Flags) -> Any:
    """Return a column of texts, None where it is none; what may not stand there is not sure."""
    if not _is_text(column):
        return None
    if _is_dictionary(column) and column.dictionary.null_count:
        column = column.dictionary_decode()
    if field.allowed is not None:
        known = _arrow().array([*field.allowed, None], _arrow().string())
        plain = column.dictionary_decode() if _is_dictionary(column) else column
        sure &= importlib.import_module("pyarrow.compute").is_in(plain, known).to_numpy(zero_copy_only=False)
    if column.null_count and not field.null:
        sure &= column.is_valid().to_numpy(zero_copy_only=False)
    return column


def _number(column: Any, field: Plain, sure: Flags) -> F8 | None:
    """Return a column of numbers, None where it is none; what may not stand there is not sure."""
    types, kind = _arrow().types, column.type
    if field.kind == kernels.TRUTH:
        made = _numpy(column) if types.is_boolean(kind) else None
    elif field.kind == kernels.TIME:
        made = _time(column, field, sure)
    else:
        made = _quantity(column, field, sure)
    if made is None:
        return None
    found, there = made[0].astype(np.float64), made[1]
    if there is not None:
        found[~there] = np.nan
        if not field.null:
            sure &= there
    return found


def _time(column: Any, field: Plain, sure: Flags) -> tuple[I8, Flags | None] | None:
    """Return a column of times as epoch ms, None where it is none; whole numbers are read as JSON's are."""
    types, kind = _arrow().types, column.type
    if not (types.is_timestamp(kind) or types.is_integer(kind)):
        return None
    found, there = milliseconds(column) if types.is_timestamp(kind) else _numpy(column)
    within = (found >= int(field.low)) & (found <= int(field.high))
    if types.is_integer(kind):
        found = np.where(within, found, 0).astype(np.int64)
        found = np.where(np.abs(found) <= WATERSHED, found * 1000, found)
    sure &= within if there is None else within | ~there
    return found, there


def _quantity(column: Any, field: Plain, sure: Flags) -> tuple[NDArray[Any], Flags | None] | None:
    """Return a column of floats or of integers, None where it is none."""
    types, kind = _arrow().types, column.type
    if not (types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind)):
        return None
    found, there = _numpy(column)
    if types.is_integer(kind):
        inside = (found >= -EXACT) & (found <= EXACT)
    else:
        inside = found == np.floor(found) if field.kind == kernels.WHOLE else ~np.isnan(found)
    numbers = found.astype(np.float64)
    inside = inside & (numbers >= field.low) & (numbers <= field.high)
    if field.allowed is not None:
        inside &= np.isin(numbers, list(field.allowed))
    sure &= inside if there is None else inside | ~there
    return numbers, there


def _numpy(column: Any) -> tuple[NDArray[Any], Flags | None]:
    """Return the plain values of a column, 0 where there is none; and which are there, None for all."""
    if not column.null_count:
        return column.to_numpy(zero_copy_only=False), None
    there = column.is_valid().to_numpy(zero_copy_only=False)
    nothing = False if _arrow().types.is_boolean(column.type) else 0
    return column.fill_null(nothing).to_numpy(zero_copy_only=False), there


def milliseconds(column: Any) -> tuple[I8, Flags | None]:
    """Return timestamps as epoch ms, floored; out of range where that is beyond int64."""
    counts, there = _numpy(column.view(_arrow().int64()))
    per_second = PER_SECOND[column.type.unit]
    if per_second == 1:
        beyond = np.abs(counts) > LAST_MS
        return np.where(beyond, LAST_MS + 1, counts) * 1000, there
    return counts // (per_second // 1000), there


def moments(column: Any) -> tuple[F8, dict[int, Any]]:
    """Return received times as epoch ms, NaN where the value itself has to be looked at; and those values by row."""
    types, kind = _arrow().types, column.type
    if types.is_timestamp(kind) or types.is_integer(kind):
        raw, there = milliseconds(column) if types.is_timestamp(kind) else _numpy(column)
        known = (raw >= FIRST_MS) & (raw <= LAST_MS)
        if there is not None:
            known &= there
        found = np.where(known, raw, np.nan)
    else:
        found = np.full(len(column), np.nan)
    rest = np.flatnonzero(np.isnan(found))
    if not rest.size:
        return found, {}
    values = plain(column if rest.size == len(column) else column.take(_arrow().array(rest)))
    return found, dict(zip(rest.tolist(), values, strict=True))


# --- one by one -------------------------------------------------------------------------------------------------------


def plain(column: Any) -> list[Any]:
    """Return a column as plain values; times as whole epoch milliseconds, floored."""
    arrow = _arrow()
    if arrow.types.is_timestamp(column.type):
        per_second = PER_SECOND[column.type.unit]
        counts = column.cast(arrow.int64()).to_pylist()
        return [None if count is None else count * 1000 // per_second for count in counts]
    values: list[Any] = column.to_pylist()
    return values


def literals(column: Any) -> list[str]:
    """Return each value of a column as a JSON literal; null and NaN are kept apart."""
    kinds = _arrow().types
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind, values = column.type, plain(column)
    if kinds.is_timestamp(kind):
        return _times(values)
    if kinds.is_integer(kind):
        return ["null" if value is None else str(value) for value in values]
    if kinds.is_floating(kind):
        return ["null" if value is None else _float(value) for value in values]
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return quoted(values)
    return ["null" if value is None else orjson.dumps(value, default=str).decode() for value in values]


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else NOT_FINITE[repr(value)]


def _times(values: Sequence[int | None]) -> list[str]:
    """Write times as integer milliseconds; those that would be read as seconds as ISO text."""
    found = ["null" if value is None else str(value) for value in values]
    early = [i for i, value in enumerate(values) if value is not None and abs(value) <= WATERSHED]
    if early:
        whole = _arrow().array([values[i] for i in early], type=_arrow().timestamp("ms"))
        written = importlib.import_module("pyarrow.compute").strftime(whole, "%Y-%m-%dT%H:%M:%S").to_pylist()
        for i, text in zip(early, written, strict=True):
            found[i] = f'"{text}Z"'
    return found


def _arrow() -> Any:
    return importlib.import_module("pyarrow")


def _is_dictionary(column: Any) -> bool:
    return bool(_arrow().types.is_dictionary(column.type))


def _is_text(column: Any) -> bool:
    types, kind = _arrow().types, column.type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))

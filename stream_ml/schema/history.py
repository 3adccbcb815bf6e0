"""Files of records, batch by batch, as the bytes that a log would hold."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pydantic import TypeAdapter, ValidationError

from stream_ml.errors import InputError, Reason, UsageError
from stream_ml.kernels.scan import WHOLE
from stream_ml.kernels.stamps import FIRST_MS, LAST_MS
from stream_ml.schema import arrow, cells, fields, parquet, rows
from stream_ml.schema.blocks import blocks_of_lines, lines
from stream_ml.schema.decoder import LIMIT
from stream_ml.schema.fast import parse_times
from stream_ml.schema.lines import taken
from stream_ml.schema.scan import LEAST, Plain, Scan
from stream_ml.schema.verdict import Bad, epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from pydantic import BaseModel

    from stream_ml.schema.fields import Shape

#: The column that exports write the received time to.
RECEIVED = "received"
NDJSON = (".ndjson", ".jsonl", ".json")
FORMATS = "NDJSON (.ndjson, .jsonl, .json), CSV (.csv), both also with .gz, and Parquet (.parquet)"
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]*)?")
_TIME = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows of a file.

    Parameters
    ----------
    first_row
        Number of the first row, counted from 0 (a CSV header is no row).
    values
        The rows as JSON records; of a damaged row, its bytes as they stand in the file.
    received
        When each was received, epoch ms, int64[n]; None where the file does not say.
    bad
        Damaged rows (reason ``row``) and rows without a readable received time (reason ``time``), by their place in
        `values`. They are not to be decoded; their `received` repeats that of the row before.
    """

    first_row: int
    values: Sequence[bytes]
    received: NDArray[np.int64] | None
    bad: tuple[Bad, ...]


def read(path: str | Path, model: type[BaseModel], received: str | None = None) -> Iterator[Batch]:
    """Read a file of records.

    Parameters
    ----------
    path
        An NDJSON, CSV or Parquet file, told by its suffix; NDJSON and CSV may be packed with gzip.
    model
        The class of the records: its fields and aliases choose the columns of CSV and Parquet, and their types.
    received
        Column (or JSON field) that holds the received time, as epoch ms or ISO text; by default ``received`` if the
        file (its first record, for NDJSON) has it.

    Yields
    ------
    Batch
        Rows in the file's order, some thousands at once.

    Raises
    ------
    InputError
        When the file is missing, may not be read, lacks a required column or the named one, or, after the rows before
        it were yielded, where it is damaged as a whole.
    UsageError
        When the suffix names no known format, or pyarrow is missing.
    """
    where = Path(path)
    suffix = where.name.removesuffix(".gz").lower()
    shape = fields.read(model)
    if suffix.endswith(NDJSON):
        return _ndjson(where, received)
    if suffix.endswith(".csv"):
        return _csv(where, shape, received)
    if suffix.endswith(".parquet") and where.suffix != ".gz":
        return _parquet(where, shape, received)
    cause = f"{where} is in no known format"
    raise UsageError(cause, f"Known are {FORMATS}")


def _ndjson(path: Path, named: str | None) -> Iterator[Batch]:
    return given(blocks_of_lines(path), named, str(path))


def given(parts: Iterable[Sequence[bytes]], received: str | None = None, where: str = "the records") -> Iterator[Batch]:
    """Take JSON records that are in memory as :func:`read` takes those of an NDJSON file.

    Parameters
    ----------
    parts
        The records, some at once.
    received
        As for :func:`read`.
    where
        What errors call them.
    """
    first_row, clock = 0, _Clock(received or RECEIVED)
    scan = Scan([Plain(RECEIVED, received or RECEIVED, WHOLE, low=FIRST_MS, high=LAST_MS)])
    decoder: msgspec.json.Decoder[Any] | None = None
    for values in parts:
        if first_row == 0:
            decoder = _received_decoder(received or RECEIVED)
            if not _holds(decoder, values):
                _require(received, where, "field", "its first record")
                decoder = None
        if decoder is None:
            yield Batch(first_row, values, None, ())
        else:
            scanned = scan.read(values, LIMIT) if len(values) >= LEAST else None
            if scanned is None:
                moments, bad = clock.read(_every(decoder, values))
            else:
                rest = np.flatnonzero(~scanned.sure)
                raw = dict(zip(rest.tolist(), _every(decoder, taken(values, rest)), strict=True))
                moments, bad = clock.settle(scanned.numbers[RECEIVED], raw)
            yield Batch(first_row, values, moments, bad)
        first_row += len(values)


def _csv(path: Path, shape: Shape, named: str | None) -> Iterator[Batch]:
    first_row, clock = 0, _Clock(named or RECEIVED)
    header: list[str] = []
    places: dict[str, int] = {}
    at: int | None = None
    rest: list[bytes] = []
    for more, final in _with_last(lines(path)):
        chunk = rest + more
        if not header:
            header = _header(chunk.pop(0), path)
            places = cells.mapped(shape, header, path)
            at = header.index(named or RECEIVED) if (named or RECEIVED) in header else None
            if at is None:
                _require(named, path, "column", ", ".join(header))
        found = rows.parse(chunk, len(header), final=final)
        rest = found.rest
        if not found.cells:
            continue
        batch = _table(shape, places, found, first_row)
        if at is not None:
            raw = [row[at] if row else None for row in found.cells]
            batch = _received(batch, clock, raw, set(found.damaged))
        yield batch
        first_row += len(found.cells)
    if not header:
        cause = f"{path} is empty"
        raise InputError(cause, "A CSV file begins with a line that names its columns")


def _with_last(parts: Iterator[list[bytes]]) -> Iterator[tuple[list[bytes], bool]]:
    """Say of each part whether it is the last; a part is held back until the next one is there, or has failed."""
    held: list[bytes] | None = None
    try:
        for part in parts:
            if held is not None:
                yield held, False
            held = part
    except InputError:
        if held is not None:
            yield held, True
        raise
    if held is not None:
        yield held, True


def _header(line: bytes, path: Path) -> list[str]:
    try:
        return next(csv.reader([line.decode()], strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        cause = f"{path} has no readable header: {error}"
        raise InputError(cause, "Its first line must name the columns") from None


def _table(shape: Shape, places: dict[str, int], found: rows.Rows, first_row: int) -> Batch:
    whole = found.cells if not found.damaged else [row for row in found.cells if row]
    columns = {name: cells.literals(shape.fields[name], [row[at] for row in whole]) for name, at in places.items()}
    values = cells.records(shape, columns) if columns else [b"{}"] * len(whole)
    bad = []
    for place, (line, why) in found.damaged.items():  # ascending, so each insertion stands at its final place
        values.insert(place, line)
        bad.append(Bad(place, Reason.ROW, "$", f"row {first_row + place + 1}: {why}"))
    return Batch(first_row, values, None, tuple(bad))


def _parquet(path: Path, shape: Shape, named: str | None) -> Iterator[Batch]:
    first_row, clock = 0, _Clock(named or RECEIVED)
    for values, column in parquet.batches(path, shape, named or RECEIVED):
        if column is None:
            _require(named, path, "column", "its schema")
        moments, bad = (None, ()) if column is None else clock.settle(*arrow.moments(column))
        yield Batch(first_row, values, moments, bad)
        first_row += len(values)


def _require(named: str | None, path: Path | str, what: str, has: str) -> None:
    if named is not None:
        cause = f"{path} has no {what} {named} to take the received time from"
        raise InputError(cause, f"Looked in: {has}")


def _received(batch: Batch, clock: _Clock, raw: list[Any], damaged: set[int]) -> Batch:
    moments, late = clock.read(raw)
    bad = sorted([*batch.bad, *(one for one in late if one.index not in damaged)], key=lambda one: one.index)
    return Batch(batch.first_row, batch.values, moments, tuple(bad))


def _received_decoder(name: str) -> msgspec.json.Decoder[Any]:
    struct = msgspec.defstruct("Received", [("at", int | float | str | None, None)], gc=False, rename={"at": name})
    return msgspec.json.Decoder(struct)


def _holds(decoder: msgspec.json.Decoder[Any], values: Sequence[bytes]) -> bool:
    return _one(decoder, values[0]) not in (None, _UNREAD)


_UNREAD = object()


def _every(decoder: msgspec.json.Decoder[Any], values: Sequence[bytes]) -> list[Any]:
    decode = decoder.decode
    try:
        return [decode(value).at for value in values]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_one(decoder, value) for value in values]


def _one(decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:
    """Return a record's received time, raw; `_UNREAD` where the record is no JSON (decoding it will tell)."""
    try:
        return decoder.decode(value).at
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _UNREAD


class _Clock:
    """Turns raw received times into epoch ms; remembers the last one for rows that have none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = 0

    def read(self, raw: list[Any]) -> tuple[NDArray[np.int64], tuple[Bad, ...]]:
        return self.settle(np.full(len(raw), np.nan), dict(enumerate(raw)))

    def settle(
        self, moments: NDArray[np.float64], raw: dict[int, Any]
    ) -> tuple[NDArray[np.int64], tuple[Bad, ...]]:
        """Put raw times in their places among those that were read already."""
        if raw:
            moments[list(raw)] = _moments(list(raw.values()))
        bad = []
        for index in np.flatnonzero(np.isnan(moments)).tolist():
            moments[index] = moments[index - 1] if index else self._last
            if raw[index] is not _UNREAD:
                said = "no received time" if raw[index] in (None, "") else f"{raw[index]!r:.40} is no received time"
                bad.append(Bad(index, Reason.TIME, f"$.{self._name}", said))
        found = moments.astype(np.int64)
        self._last = int(found[-1]) if len(found) else self._last
        return found, tuple(bad)


def _moments(raw: list[Any]) -> NDArray[np.float64]:
    """Return raw received times as epoch ms, NaN where there is none."""
    if raw and type(raw[0]) is int:
        whole = _whole_numbers(raw)
        if whole is not None:
            return whole
    if all(type(value) is str for value in raw):
        moments = parse_times(raw)
        for index in np.flatnonzero(np.isnan(moments)).tolist():
            moments[index] = _milliseconds(raw[index])
    else:
        moments = np.array([_milliseconds(value) for value in raw], dtype=np.float64)
    texts = [index for index in np.flatnonzero(np.isnan(moments)).tolist() if isinstance(raw[index], str)]
    if texts:
        parsed = parse_times([raw[index] for index in texts])
        for place in np.flatnonzero(np.isnan(parsed)).tolist():
            parsed[place] = _oddly_written(raw[texts[place]])
        moments[texts] = parsed
    return moments


def _whole_numbers(raw: list[Any]) -> NDArray[np.float64] | None:
    """Return raw times that are all integers and in range, None if one is not."""
    try:
        found = np.fromiter(raw, np.int64, len(raw)) if set(map(type, raw)) == {int} else np.zeros(0, np.int64)
    except OverflowError:
        return None
    within = found.size > 0 and FIRST_MS <= int(found.min()) and int(found.max()) <= LAST_MS
    return found.astype(np.float64) if within else None


def _milliseconds(value: Any) -> float:
    """Return a number, or a number written as text, as epoch ms, floored; NaN for everything else."""
    if isinstance(value, str):
        if _WHOLE.fullmatch(value) is None:
            return math.nan
        value = float(value)
    if isinstance(value, (int, float)) and FIRST_MS <= value <= LAST_MS:
        return float(math.floor(value))
    return math.nan


def _oddly_written(text: str) -> float:
    try:
        return epoch_ms(_TIME.validate_strings(text))
    except ValidationError:
        return math.nan

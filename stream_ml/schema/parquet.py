"""Parquet as a source of records; pyarrow is an optional dependency."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import orjson

from stream_ml.errors import InputError, UsageError
from stream_ml.schema.blocks import reading
from stream_ml.schema.cells import mapped, quoted, records
from stream_ml.schema.fields import WATERSHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stream_ml.schema.fields import Shape

ROWS = 8192
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def batches(path: Path, shape: Shape, received: str | None) -> Iterator[tuple[list[bytes], list[Any] | None]]:
    """Yield records as JSON lines and, where `received` is a column, its values (epoch ms, text, or None).

    Raises
    ------
    UsageError
        When pyarrow is not installed.
    InputError
        When the file cannot be read, is damaged, or lacks a column.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        cause = "Parquet needs pyarrow"
        raise UsageError(cause, "Install it: pip install 'stream-ml[history]'") from None
    with reading(path):
        path.open("rb").close()
        try:
            file = parquet.ParquetFile(path)
            header = list(file.schema_arrow.names)
            places = mapped(shape, header, path)
            chosen = {name: header[place] for name, place in places.items()}
            present = received if received in header else None
            wanted = list(dict.fromkeys([*chosen.values(), *([present] if present else [])]))
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                columns = {name: literals(arrow, batch.column(column)) for name, column in chosen.items()}
                lines = records(shape, columns) if columns else [b"{}"] * batch.num_rows
                yield lines, _plain(arrow, batch.column(present)) if present else None
        except (arrow.ArrowInvalid, arrow.ArrowException, EOFError) as error:
            said = str(error).split("\n", maxsplit=1)[0]
            cause = f"{path} is no readable Parquet file: {said}"
            raise InputError(cause, "Write it again") from None


def _plain(arrow: Any, column: Any) -> list[Any]:
    """Return a column as plain values; times as whole epoch milliseconds, floored."""
    if arrow.types.is_timestamp(column.type):
        per_second = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
        counts = column.cast(arrow.int64()).to_pylist()
        return [None if count is None else count * 1000 // per_second for count in counts]
    values: list[Any] = column.to_pylist()
    return values


def literals(arrow: Any, column: Any) -> list[str]:
    """Return each value of a column as a JSON literal; null and NaN are kept apart."""
    kinds, kind = arrow.types, column.type
    if kinds.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    values = _plain(arrow, column)
    if kinds.is_timestamp(kind):
        return _times(values, column, arrow)
    if kinds.is_integer(kind):
        return ["null" if value is None else str(value) for value in values]
    if kinds.is_floating(kind):
        finite = importlib.import_module("pyarrow.compute").is_finite(column)
        if finite.false_count == 0:
            return ["null" if value is None else repr(value) for value in values]
        return ["null" if value is None else _float(value) for value in values]
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return quoted(values)
    return ["null" if value is None else orjson.dumps(value, default=str).decode() for value in values]


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else NOT_FINITE[repr(value)]


def _times(values: Sequence[int | None], column: Any, arrow: Any) -> list[str]:
    """Write times as integer milliseconds; where one would be read as seconds, all as ISO text."""
    if all(value is None or abs(value) > WATERSHED for value in values):
        return ["null" if value is None else str(value) for value in values]
    compute = importlib.import_module("pyarrow.compute")
    whole = arrow.array(values, type=arrow.timestamp("ms"))
    return [
        "null" if text is None else f'"{text}Z"' for text in compute.strftime(whole, "%Y-%m-%dT%H:%M:%S").to_pylist()
    ]

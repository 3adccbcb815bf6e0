"""Files of records as the values that a producer sends: NDJSON as it is, CSV and Parquet as JSON; gzip too."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from stream_ml.errors import InputError
from stream_ml.schema.blocks import lines, reading
from stream_ml.schema.rows import parse

BATCH = 2_000


def record_batches(path: Path) -> Iterator[list[bytes]]:
    """Read a file's records in order, some at once.

    Parameters
    ----------
    path
        `*.csv`, `*.parquet`, anything else is NDJSON; gzip is told by its bytes. A producer knows no event class, so
        a CSV cell stays text (an empty one is null): the pipeline's class says what it means. A damaged CSV row is sent
        as it stands, so that it becomes a dead letter. An empty line is an empty record.

    Raises
    ------
    InputError
        If the file is missing, cannot be read, or is not what its name says; the records before the damage were given.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(path)
    return _csv(path) if name.endswith(".csv") else lines(path)


def _csv(path: Path) -> Iterator[list[bytes]]:
    header: list[str] = []
    rest: list[bytes] = []
    for more in lines(path):
        chunk = rest + more
        if not header:
            header = _header(chunk.pop(0), path)
        found = parse(chunk, len(header), final=False)
        rest = found.rest
        yield _objects(header, found.cells, found.damaged)
    if rest:
        found = parse(rest, len(header), final=True)
        yield _objects(header, found.cells, found.damaged)


def _header(line: bytes, path: Path) -> list[str]:
    try:
        return next(csv.reader([line.decode()], strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        cause = f"{path} has no readable header: {error}"
        raise InputError(cause, "Its first line must name the columns") from None


def _objects(header: list[str], cells: list[list[str]], damaged: dict[int, tuple[bytes, str]]) -> list[bytes]:
    return [
        damaged[place][0]
        if place in damaged
        else orjson.dumps({name: cell or None for name, cell in zip(header, row, strict=True)})
        for place, row in enumerate(cells)
    ]


def _parquet(path: Path) -> Iterator[list[bytes]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        cause = "Parquet needs pyarrow"
        raise InputError(cause, 'Install it: pip install "stream-ml[history]"') from error
    try:
        with reading(path), path.open("rb") as opened, pq.ParquetFile(opened) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield [orjson.dumps(row, default=_json, option=orjson.OPT_NAIVE_UTC) for row in batch.to_pylist()]
    except pa.ArrowException as error:
        cause = f"{path} is not a Parquet file that can be read ({error})"
        raise InputError(cause, "Check that it is whole") from error


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(type(value).__name__)

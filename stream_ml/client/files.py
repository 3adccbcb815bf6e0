"""Files of records as the values that a producer sends: NDJSON as it is, CSV and Parquet as JSON; also gzipped."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import orjson

from stream_ml.errors import InputError

BATCH = 2_000
BATCH_BYTES = 8 << 20


def record_batches(path: Path) -> Iterator[list[bytes]]:
    """Read a file's records in order, in lists of at most 2,000 or about 8 MiB.

    Parameters
    ----------
    path
        `*.csv`, `*.parquet`, anything else is NDJSON; `.gz` after it for gzip. A CSV cell is text (an empty one null):
        the event class says what it means. A CSV row with too few or too many cells is sent as it stands, so that it
        becomes a dead letter. An empty line is an empty record.

    Raises
    ------
    InputError
        If the file is missing, or is not what its name says.
    """
    names = [suffix.lower() for suffix in path.suffixes]
    if not path.is_file():
        cause = f"There is no file {path}"
        raise InputError(cause, "Check the path")
    kind = names[-2] if len(names) > 1 and names[-1] == ".gz" else (names[-1] if names else "")
    try:
        if kind == ".parquet":
            yield from _parquet(path)
            return
        with _open(path) as file:
            yield from _csv(file) if kind == ".csv" else lines_of(file)
    except OSError as error:
        cause = f"{path} cannot be read ({error.strerror or error})"
        raise InputError(cause, "Check its permissions and that it is whole") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        cause = f"{path} is damaged ({error})"
        raise InputError(cause, "Get it again: the records before the damage were stored") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def lines_of(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Cut a stream of bytes into lines.

    Examples
    --------
    >>> list(lines_of(io.BytesIO(b'{"a":1}' + bytes([10]) + b'{"a":2}')))
    [[b'{"a":1}', b'{"a":2}']]
    """
    while lines := file.readlines(BATCH_BYTES):
        for start in range(0, len(lines), BATCH):
            yield [line.removesuffix(b"\n") for line in lines[start : start + BATCH]]


def _csv(file: IO[bytes]) -> Iterator[list[bytes]]:
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    header = next(rows, None)
    if header is None:
        return
    batch: list[bytes] = []
    for row in rows:
        if len(row) == len(header):
            batch.append(orjson.dumps({name: cell or None for name, cell in zip(header, row, strict=True)}))
        elif row:
            batch.append(",".join(row).encode())
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _parquet(path: Path) -> Iterator[list[bytes]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        cause = "Parquet needs pyarrow"
        raise InputError(cause, 'Install it: pip install "stream-ml[history]"') from error
    try:
        with pq.ParquetFile(path) as file:
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

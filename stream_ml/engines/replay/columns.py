"""Rows of features as Arrow tables: in memory, or written to a Parquet file as they come."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import StorageError, UsageError
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.spec import Field

F8 = NDArray[np.float64]
Flags = NDArray[np.bool_]


def arrow() -> Any:
    """Return pyarrow.

    Raises
    ------
    UsageError
        When it is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        cause = "feature tables need pyarrow"
        raise UsageError(cause, "Install it: pip install 'stream-ml[history]'") from None


class Tables:
    """Makes a table of the rows of each turn, and keeps it or writes it.

    Order of calls: :meth:`add` for each turn, :meth:`finish`; used as a context, which removes what was not finished.

    Parameters
    ----------
    fields
        The columns.
    out
        A Parquet file; None keeps the rows in memory.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """

    def __init__(self, fields: Sequence[Field], symbols: Symbols, out: Path | None) -> None:
        self._arrow = arrow()
        self._fields, self._symbols, self._out = fields, symbols, out
        self.schema = self._arrow.schema([(one.name, self._type(one.kind)) for one in fields])
        self._kept: list[Any] = []
        self._writer: Any = None

    def __enter__(self) -> Tables:
        if self._out is not None:
            try:
                self._out.parent.mkdir(parents=True, exist_ok=True)
                parquet = importlib.import_module("pyarrow.parquet")
                self._writer = parquet.ParquetWriter(_part(self._out), self.schema)
            except OSError as error:
                raise _failed(self._out, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self._out is not None:
            self._writer.close()
            _part(self._out).unlink(missing_ok=True)

    def add(self, columns: Sequence[F8]) -> None:
        """Append rows: float64[n] for each field, which become part of the table."""
        found = [self._column(one.kind, column) for one, column in zip(self._fields, columns, strict=True)]
        batch = self._arrow.RecordBatch.from_arrays(found, schema=self.schema)
        if self._out is None:
            self._kept.append(batch)
            return
        try:
            self._writer.write_batch(batch)
        except OSError as error:
            raise _failed(self._out, error) from error

    def finish(self) -> Any:
        """Return the table; a file gets its name, and None is returned."""
        if self._out is None:
            return self._arrow.Table.from_batches(self._kept, schema=self.schema)
        try:
            self._writer.close()
            self._writer = None
            os.replace(_part(self._out), self._out)
        except OSError as error:
            raise _failed(self._out, error) from error
        return None

    def _type(self, kind: str) -> Any:
        arrow_ = self._arrow
        kinds = {
            "int": arrow_.int64(), "category": arrow_.int64(), "bool": arrow_.bool_(), "text": arrow_.large_string(),
            "time": arrow_.timestamp("ms", tz="UTC"),
        }  # fmt: skip
        return kinds.get(kind, arrow_.float64())

    def _column(self, kind: str, column: F8) -> Any:
        missing = np.isnan(column)
        known = None if not missing.any() else ~missing
        if kind == "text":
            return self._texts(column, known)
        if kind in {"float", "span"}:
            return self._array(kind, known, column.size, column)
        whole = column if known is None else np.where(missing, 0.0, column)
        if kind == "bool":
            return self._array(kind, known, column.size, _bits(whole != 0.0))
        return self._array(kind, known, column.size, whole.astype(np.int64))

    def _texts(self, codes: F8, known: Flags | None) -> Any:
        offsets = np.zeros(codes.size + 1, np.int64)
        if known is None:
            raw, offsets[1:] = self._symbols.text_bytes(codes)
        else:
            raw, ends = self._symbols.text_bytes(codes[known])
            offsets[1:][known] = np.diff(ends, prepend=0)
            np.cumsum(offsets, out=offsets)
        return self._array("text", known, codes.size, offsets, raw)

    def _array(self, kind: str, known: Flags | None, n: int, *buffers: NDArray[Any]) -> Any:
        """Return n values as they stand, without a copy; `known` says which there are, None for all."""
        there = None if known is None else self._arrow.py_buffer(_bits(known))
        found = [there, *map(self._arrow.py_buffer, buffers)]
        return self._arrow.Array.from_buffers(self._type(kind), n, found)


def _bits(flags: Flags) -> NDArray[np.uint8]:
    return np.packbits(flags, bitorder="little")


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _failed(path: Path, error: OSError) -> StorageError:
    cause = f"The features cannot be written to {path} ({error.strerror or error})"
    return StorageError(cause, "Name a file in a folder that can be written, with room")

"""Parquet as a source of records; pyarrow is an optional dependency."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stream_ml.errors import InputError, UsageError
from stream_ml.schema.arrow import ArrowRows
from stream_ml.schema.blocks import reading
from stream_ml.schema.cells import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream_ml.schema.fields import Shape

ROWS = 1 << 16
#: Bytes of a column that are read from the file at once; without, those of a whole row group, which may be the file.
BUFFER = 1 << 18
#: What a text takes at least where it is not one of a dictionary: its length, four bytes.
LENGTH = 4


def batches(path: Path, shape: Shape, received: str | None) -> Iterator[tuple[ArrowRows, Any | None]]:
    """Yield records and, where `received` is a column, that column.

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
            texts = _repeated(file.metadata, header)
            file = parquet.ParquetFile(path, read_dictionary=texts, buffer_size=BUFFER)
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                batch.validate(full=True)
                records = batch.select(list(dict.fromkeys(chosen.values())))
                yield ArrowRows(records, shape, chosen), batch.column(present) if present else None
        except (arrow.ArrowInvalid, arrow.ArrowException, EOFError) as error:
            said = str(error).split("\n", maxsplit=1)[0]
            cause = f"{path} is no readable Parquet file: {said}"
            raise InputError(cause, "Write it again") from None


def _repeated(metadata: Any, header: list[str]) -> list[str]:
    """Return the columns of texts that are so small that they must stand as places in a dictionary."""
    chunks = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if metadata.num_columns != len(header):  # nested columns
        return []
    return [
        name
        for j, name in enumerate(header)
        if metadata.schema.column(j).physical_type == "BYTE_ARRAY"
        and sum(one.column(j).total_uncompressed_size for one in chunks) < LENGTH * metadata.num_rows
    ]

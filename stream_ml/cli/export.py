"""Records of a topic in the formats that `replay` and other tools read.

Records of input topics get a column `received` (epoch ms), the log's time, unless they have one: `replay` takes it as
the received time, so that history gives what live gave.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from stream_ml.cli.console import write_table
from stream_ml.client import Client, Record
from stream_ml.client.database import Access, failures, open_database
from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from stream_ml.client.kafka import KafkaClient

OUTPUTS = ("predictions", "examples", "dead", "alarms", "metrics")
JOURNAL = ".journal"
_PARQUET_ROWS = 50_000


def outputs_of(client: Client | KafkaClient) -> frozenset[str]:
    """Topics that pipelines of this log write."""
    if not isinstance(client, Client):
        known = client.topics()
        ran = [topic.removesuffix(JOURNAL) for topic in known if topic.endswith(JOURNAL)]
        return frozenset(f"{name}.{output}" for name in ran for output in OUTPUTS)
    with failures(client.path):
        connection = open_database(client.path, Access.READ)
        try:
            names = [name for (name,) in connection.execute("SELECT name FROM pipelines").fetchall()]
        finally:
            connection.close()
    return frozenset(f"{name}.{output}" for name in names for output in OUTPUTS)


@dataclass(frozen=True, slots=True)
class Exported:
    """What to write: a topic from a place on; it can be read several times."""

    client: Client | KafkaClient
    topic: str
    start: Literal["start", "end"] | int
    follow: bool
    stamped: bool

    def batches(self) -> Iterator[list[Record]]:
        """Read records as they are found."""
        return self.client.batches((self.topic,), self.start, follow=self.follow)

    def objects(self) -> Iterator[dict[str, Any]]:
        """Read records as dicts, with the received time where it belongs.

        Raises
        ------
        UsageError
            If a record is no JSON object, which has no columns.
        """
        for batch in self.batches():
            for record in batch:
                value = record.json()
                if not isinstance(value, dict):
                    what = "Row " if isinstance(self.client, Client) else f"Offset {record.partition}/"
                    cause = f"{what}{record.row} of {self.topic} is no JSON object, so it has no columns"
                    raise UsageError(cause, "Use --format ndjson, which writes it as it is")
                if self.stamped:
                    value.setdefault("received", record.received)
                yield value


def stamp(record: Record) -> bytes:
    """Add the received time to a record's bytes, all else as it was.

    Examples
    --------
    >>> stamp(Record(1, "t", 5, None, b'{"a": 1.50}'))
    b'{"received":5,"a": 1.50}'
    >>> stamp(Record(1, "t", 5, None, b'not json'))
    b'not json'
    """
    value = record.json()
    if not isinstance(value, dict) or "received" in value:
        return record.value
    rest = record.value.lstrip()[1:]
    return b'{"received":%d%s%s' % (record.received, b"," if value else b"", rest)


def write_ndjson(exported: Exported) -> None:
    """One record a line, its bytes as they were produced."""
    out = sys.stdout.buffer
    for batch in exported.batches():
        lines = [stamp(record) for record in batch] if exported.stamped else [record.value for record in batch]
        out.write(b"\n".join(lines) + b"\n")
        out.flush()


def _columns(exported: Exported) -> list[str]:
    found: dict[str, None] = {}
    for value in exported.objects():
        found.update(dict.fromkeys(value))
    return list(found)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def write_csv(exported: Exported) -> None:
    """CSV with a header; the topic is read twice, since later records may bring columns. Nested values are JSON."""
    columns = _columns(exported)
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    for value in exported.objects():
        writer.writerow([_cell(value.get(column)) for column in columns])


def write_parquet(exported: Exported) -> None:
    """Parquet; the topic is read twice. Columns whose values have several types, and nested ones, are JSON text."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        cause = "Parquet needs pyarrow"
        raise UsageError(cause, 'Install it: pip install "stream-ml[history]"') from error
    kinds: dict[str, set[type]] = {}
    for value in exported.objects():
        for name, cell in value.items():
            kinds.setdefault(name, set()).add(type(cell))
    types = {name: _parquet_type(pa, seen - {type(None)}) for name, seen in kinds.items()}
    schema = pa.schema([(name, kind) for name, kind in types.items()])
    texts = {name for name, kind in types.items() if kind == pa.string()}
    with pq.ParquetWriter(sys.stdout.buffer, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for value in exported.objects():
            rows.append({name: _text(cell) if name in texts else cell for name, cell in value.items()})
            if len(rows) == _PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _parquet_type(pa: Any, seen: set[type]) -> Any:
    if seen == {bool}:
        return pa.bool_()
    if seen == {int}:
        return pa.int64()
    return pa.float64() if seen and seen <= {int, float} else pa.string()


def _text(cell: object) -> str | None:
    return cell if cell is None or isinstance(cell, str) else orjson.dumps(cell).decode()


def write_rich(exported: Exported) -> None:
    """Write tables of at most 2,000 rows, as wide as the terminal."""
    on_file = isinstance(exported.client, Client)
    for batch in exported.batches():
        objects: list[dict[str, Any]] = []
        for record in batch:
            value = record.json()
            place = {"row": record.row} if on_file else {"partition": record.partition, "offset": record.row}
            objects.append(place | (value if isinstance(value, dict) else {"value": value}))
        columns = list(dict.fromkeys(name for value in objects for name in value))
        write_table(columns, ([_cell(value.get(column)) for column in columns] for value in objects))


FORMATS: dict[str, Callable[[Exported], None]] = {
    "ndjson": write_ndjson,
    "csv": write_csv,
    "parquet": write_parquet,
    "table": write_rich,
}

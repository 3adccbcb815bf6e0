"""Generated streams as files of history, and the same records fed straight to a session."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stream_ml.engines.replay.sources import NEVER
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Run
from stream_ml.sessions.session import Session
from tests.pipelines_data import Row

FOLDER = Path(__file__).parent.parent / "pipelines"


def pipeline(name: str) -> Pipeline:
    return load(FOLDER / f"{name}.py")


def by_topic(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each topic, each with the time at which it was received."""
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, received, record in rows:
        found.setdefault(topic, []).append({**record, "received": received})
    return found


def as_ndjson(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path = path.with_suffix(".ndjson")
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def as_gzip(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    plain = as_ndjson(path, records)
    packed = plain.with_suffix(".ndjson.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return packed


def columns(records: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def as_csv(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path = path.with_suffix(".csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns(records))
        writer.writeheader()
        writer.writerows(records)
    return path


def as_parquet(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path = path.with_suffix(".parquet")
    whole = {name: [record.get(name) for record in records] for name in columns(records)}
    pq.write_table(pa.table(whole), path, row_group_size=100)
    return path


FORMATS: dict[str, Callable[[Path, Sequence[dict[str, Any]]], Path]] = {
    "ndjson": as_ndjson, "gzip": as_gzip, "csv": as_csv, "parquet": as_parquet,
}  # fmt: skip


def files(folder: Path, rows: Sequence[Row], form: str = "ndjson") -> dict[str, Path]:
    return {topic: FORMATS[form](folder / topic, records) for topic, records in by_topic(rows).items()}


def runs(session: Session, rows: Sequence[Row]) -> Iterator[Run]:
    """Yield one run a topic, in the order of the plan's topics."""
    records = by_topic(rows)
    for topic in session.topics:
        if topic in records:
            mine = records[topic]
            yield Run(
                source=topic,
                first=0,
                end=len(mine),
                cap=NEVER,
                topics=[topic] * len(mine),
                offsets=np.arange(len(mine)),
                received=np.array([record["received"] for record in mine], np.int64),
                keys=[None] * len(mine),
                values=[json.dumps(record).encode() for record in mine],
            )


def straight(name: str, rows: Sequence[Row]) -> dict[str, list[bytes]]:
    """Feed everything in one turn; return the outputs by kind."""
    session = Session(pipeline(name), features=True, journaled=False)
    turn = session.feed(list(runs(session, rows)))
    found = {one.topic.rpartition(".")[2]: one.values for one in turn.out}
    return {kind: found.get(kind, []) for kind in ("predictions", "examples", "dead", "alarms", "metrics")}

"""`stream-ml status`: what each pipeline of a file is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import orjson

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import say, write_json, write_table
from stream_ml.cli.status_kafka import status_on_kafka
from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.database import Access, failures, open_database
from stream_ml.client.log import now_ms
from stream_ml.engines.local.lock import holder

_PIPELINES = """
SELECT p.name, p.updated, p.status,
       (SELECT max(number) FROM journal j WHERE j.pipeline = p.name),
       (SELECT count(*) FROM journal j WHERE j.pipeline = p.name),
       (SELECT made FROM manifest m WHERE m.pipeline = p.name ORDER BY generation DESC LIMIT 1),
       (SELECT max(entry) FROM manifest m WHERE m.pipeline = p.name),
       (SELECT sum(length(data)) FROM segments s WHERE s.pipeline = p.name)
FROM pipelines p ORDER BY p.name
"""


def status(on: str | None, *, as_json: bool) -> None:
    """Show the pipelines of a file, or of Kafka's brokers.

    Raises
    ------
    InputError
        If there is no such file.
    StorageError
        If the brokers cannot be reached.
    """
    _, url = settings_and_url(on)
    servers = kafka_servers(url)
    if servers is not None:
        status_on_kafka(servers, as_json=as_json)
        return
    path = database_path(url)
    with failures(path):
        connection = open_database(path, Access.READ)
        try:
            found = [_pipeline(connection, path, row) for row in connection.execute(_PIPELINES).fetchall()]
            rows = int(connection.execute("SELECT coalesce(max(row), 0) FROM log").get)
        finally:
            connection.close()
    if as_json:
        write_json({"file": str(path), "rows": rows, "pipelines": found})
        return
    if not found:
        say(f"{path}: {rows:,} rows, no pipeline has run on it")
        return
    for pipeline in found:
        write_table(("what", "value"), _lines(pipeline), title=f"{pipeline['name']} on {path} ({rows:,} rows)")


def _pipeline(connection: apsw.Connection, path: Path, row: tuple[Any, ...]) -> dict[str, Any]:
    name, updated, told, last, kept, made, snapshot_entry, stored = row
    known: dict[str, Any] = orjson.loads(told) if told else {}
    topics = known.get("topics", [])
    lag = None
    if topics:
        marks = ",".join("?" * len(topics))
        lag = connection.execute(
            f"SELECT count(*) FROM log WHERE row >= ? AND topic IN ({marks})", (known["position"], *topics)
        ).get
    now = now_ms()
    return {
        "name": name,
        "process": holder(path, name),
        "entry": last or 0,
        "journal_entries": kept,
        "snapshot_entry": snapshot_entry,
        "snapshot_age_s": None if made is None else (now - made) / 1_000,
        "snapshot_bytes": stored or 0,
        "as_of": updated,
        "position": known.get("position"),
        "lag": lag,
        **known.get("stats", {}),
    }


def _lines(pipeline: dict[str, Any]) -> list[tuple[str, str]]:
    process = pipeline["process"]
    lines = [("worker", "stopped" if process is None else f"running, process {process}")]
    for name, value in pipeline.items():
        if name in {"name", "process"} or value is None or value is False or value == {}:
            continue
        if value is True:
            lines.append((name, "yes"))
        elif isinstance(value, dict):
            text = ", ".join(f"{part} {count:,}" for part, count in value.items() if isinstance(count, int | float))
            lines.append((name, text))
        else:
            lines.append((name, f"{value:,}" if isinstance(value, int) and name != "as_of" else str(value)))
    return lines

"""`stream-ml status --on kafka://...`: the tasks of each pipeline, who runs them, and how far they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stream_ml.cli.asked import Question, asked
from stream_ml.cli.console import say, write_json, write_table

_COLUMNS = (
    "task", "owner", "host", "lag", "entry", "written", "snapshot entry", "age s", "bytes", "model", "examples",
    "behind",
)  # fmt: skip


def status_on_kafka(servers: str, *, as_json: bool) -> None:
    """Show the pipelines of some brokers.

    Raises
    ------
    StorageError
        If the brokers cannot be reached.
    """
    found = asked(servers, _question)
    if as_json:
        write_json({"servers": servers, "pipelines": found})
        return
    if not found:
        say(f"{servers}: no pipeline has run here")
    for pipeline in found:
        groups = ", ".join(
            f"group {name} {told['state']}, {told['members']} members" for name, told in pipeline["groups"].items()
        )
        title = f"{pipeline['name']} on {servers} ({groups})"
        write_table(_COLUMNS, [_line(task) for task in pipeline["tasks"]], title=title)


def _question() -> Question[list[dict[str, Any]]]:
    from stream_ml.engines.kafka.status import read_status  # noqa: PLC0415 - an extra

    return read_status


def _line(task: dict[str, Any]) -> list[str]:
    lineage, count = task["version"] or (None, None)
    written = task["written"]
    moment = None if written is None else f"{datetime.fromtimestamp(written / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    cells = (
        task["task"], task["owner"] or "nobody", task["host"], task["lag"], task["entry"], moment,
        task["snapshot_entry"], task["snapshot_age_s"], task["snapshot_bytes"], lineage, count, task["behind"],
    )  # fmt: skip
    return ["" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells]

"""`stream-ml check`: what a pipeline is, before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stream_ml.cli.console import say, write_json, write_table
from stream_ml.language.loader import load
from stream_ml.plan.check import report


def check(pipeline: Path, rate: float | None, *, as_json: bool) -> None:
    """Check a pipeline and tell its features, parts and sizes.

    Raises
    ------
    DeclarationError
        With file, line, cause and cure.
    """
    told = asdict(report(load(pipeline), rate))
    if as_json:
        write_json(told)
        return
    for name, value in told.items():
        if isinstance(value, Mapping):
            _table(name, [{"name": key, "value": one} for key, one in value.items()])
        elif isinstance(value, Sequence) and not isinstance(value, str):
            _table(name, [one if isinstance(one, Mapping) else {name: one} for one in value])
        elif value is not None:
            say(f"{name.replace('_', ' ')}: {_spelled(value)}")


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        columns = list(rows[0])
        write_table(columns, ([_spelled(row[column]) for column in columns] for row in rows), title=title)


def _spelled(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)

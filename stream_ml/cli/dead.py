"""`stream-ml dead-letters`: records that were refused, and why."""

from __future__ import annotations

import base64
from typing import Any

from stream_ml.cli.address import settings_and_path
from stream_ml.cli.console import say, write_json, write_table
from stream_ml.client.database import Access, failures, open_database
from stream_ml.errors import Reason, UsageError

_COLUMNS = ("row", "pipeline", "reason", "source", "offset", "path", "message", "size")
_LIST = f"""
SELECT * FROM (
  SELECT {", ".join(f'"{column}"' for column in _COLUMNS)} FROM dead_letters
  WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR reason = ?2) ORDER BY row DESC LIMIT ?3
) ORDER BY row
"""
_SHOW = """
SELECT row, pipeline, reason, source, partition, "offset", received, path, message, size, raw
FROM dead_letters WHERE row = ?
"""


def list_letters(on: str | None, pipeline: str | None, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters, the newest last.

    Raises
    ------
    UsageError
        For a reason that there is not.
    """
    reasons = [known.value for known in Reason]
    if reason is not None and reason not in reasons:
        cause = f"--reason {reason} is not known"
        raise UsageError(cause, f"Reasons: {', '.join(reasons)}")
    found = _query(on, _LIST, (pipeline, reason, limit))
    if as_json:
        write_json([dict(zip(_COLUMNS, row, strict=True)) for row in found])
    elif found:
        write_table(_COLUMNS, found)
    else:
        say("No dead letters")


def show_letter(on: str | None, row: int, *, as_json: bool) -> None:
    """Show one dead letter whole.

    Raises
    ------
    UsageError
        If the row is none.
    """
    found = _query(on, _SHOW, (row,))
    if not found:
        cause = f"Row {row} is no dead letter"
        raise UsageError(cause, "See their rows: stream-ml dead-letters list")
    names = ("row", "pipeline", "reason", "topic", "partition", "offset", "received", "path", "message", "size", "raw")
    letter: dict[str, Any] = dict(zip(names, found[0], strict=True))
    if as_json:
        write_json(letter)
        return
    raw = base64.b64decode(letter.pop("raw") or "")
    for name, value in letter.items():
        say(f"{name:<10} {'' if value is None else value}")
    cut = "" if len(raw) == letter["size"] else f" (the first {len(raw):,} bytes)"
    say(f"raw{cut}:")
    say(raw.decode("utf-8", "backslashreplace"))


def _query(on: str | None, query: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
    _, path = settings_and_path(on)
    with failures(path):
        connection = open_database(path, Access.READ)
        try:
            return connection.execute(query, bindings).fetchall()
        finally:
            connection.close()

"""Dead letters of a SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from stream_ml.cli.letters import Kept, Letter, letter_of
from stream_ml.client.connection import Client
from stream_ml.client.database import Access, failures, open_database
from stream_ml.config.settings import read_settings
from stream_ml.errors import UsageError

_WHERE = "(?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR reason = ?2)"
_NEWEST = f"""
SELECT * FROM (
  SELECT row, pipeline, written, json FROM dead_letters WHERE {_WHERE} ORDER BY row DESC LIMIT ?3
) ORDER BY row
"""
_PAGE = f"""
SELECT row, pipeline, written, json FROM dead_letters
WHERE {_WHERE} AND row > ?3 AND row < ?4 ORDER BY row LIMIT 500
"""
_ONE = "SELECT row, pipeline, written, json FROM dead_letters WHERE row = ?1 AND (?2 IS NULL OR pipeline = ?2)"
_KEPT = "SELECT key, value FROM log WHERE row = ? AND topic = ?"


class FileLetters:
    """Dead letters of a file; ids are rows.

    Raises
    ------
    InputError
        If there is no such file.
    """

    label = "row"

    def __init__(self, path: Path) -> None:
        self._path = path
        with failures(path):
            self._connection = open_database(path, Access.READ)
        self._client: Client | None = None

    def __enter__(self) -> FileLetters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        if self._client is not None:
            self._client.close()

    def every(self, pipeline: str | None, reason: str | None) -> Iterator[Letter]:
        """Read those that are there now, by row."""
        end = self._query("SELECT coalesce(max(row), 0) + 1 FROM log", ())[0][0]
        after = 0
        while rows := self._query(_PAGE, (pipeline, reason, after, end)):
            yield from map(_letter, rows)
            after = rows[-1][0]

    def newest(self, pipeline: str | None, reason: str | None, limit: int) -> list[Letter]:
        """Return some, the newest last."""
        return [_letter(row) for row in self._query(_NEWEST, (pipeline, reason, limit))]

    def one(self, id_: str, pipeline: str | None) -> Letter:
        """Return one.

        Raises
        ------
        UsageError
            If the row is none.
        """
        found = self._query(_ONE, (int(id_), pipeline)) if id_.isdigit() else []
        if not found:
            cause = f"Row {id_} is no dead letter"
            raise UsageError(cause, "See their rows: stream-ml dead-letters list")
        return _letter(found[0])

    def kept(self, letter: Letter) -> Kept | None:
        """Return the record that was refused as the log still holds it."""
        for key, value in self._query(_KEPT, (letter.offset, letter.topic)):
            if letter.is_of(value):
                return Kept(None if key is None else key.encode(), value)
        return None

    def produce(self, letter: Letter, kept: Kept | None, key: str | None) -> str:
        """Append the record to its topic again; returns its row."""
        if self._client is None:
            self._client = Client(self._path, read_settings().durable)
        value, own = (letter.raw, None) if kept is None else (kept.value, kept.key)
        if own is not None:
            return f"row {self._client.append(letter.topic, [value], [own.decode()]).start}"
        return f"row {self._client.produce(letter.topic, [value], key=key)[0]}"

    def _query(self, query: str, bindings: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with failures(self._path):
            return self._connection.execute(query, bindings).fetchall()


def _letter(row: tuple[Any, ...]) -> Letter:
    number, pipeline, written, told = row
    return letter_of(number, pipeline, written, orjson.loads(told))

"""Where the local engine writes down the turn that it is about to feed: one row of the file."""

from __future__ import annotations

from stream_ml.client.database import failures, transaction
from stream_ml.engines.attempts import Attempt, Kind
from stream_ml.engines.local.store import Store

_ENTRY = "entry"


def place_of(entry: int) -> tuple[str, int]:
    """Name the place of a turn: one log gives the same records again, so it is the number of its journal entry."""
    return _ENTRY, entry


class Notes:
    """The attempt that a pipeline's file holds; none where the last worker did not die.

    Parameters
    ----------
    store
        The file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> Attempt | None:
        """Return what the last worker wrote down."""
        with failures(self._store.path):
            row = self._store.connection.execute(
                "SELECT entry, kind, size, deaths, begun FROM attempts WHERE pipeline = ?", (self._store.pipeline,)
            ).get
        return None if row is None else Attempt(place_of(row[0]), Kind(row[1]), row[2], row[3], bool(row[4]))

    def keep(self, one: Attempt) -> None:
        """Write an attempt down, in the place of the last one."""
        with failures(self._store.path), transaction(self._store.connection):
            self._store.connection.execute(
                "INSERT OR REPLACE INTO attempts (pipeline, entry, kind, size, deaths, begun)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self._store.pipeline, one.place[1], one.kind.value, one.size, one.deaths, one.begun),
            )

    def forget(self) -> None:
        """Hold none."""
        with failures(self._store.path), transaction(self._store.connection):
            self._store.connection.execute("DELETE FROM attempts WHERE pipeline = ?", (self._store.pipeline,))

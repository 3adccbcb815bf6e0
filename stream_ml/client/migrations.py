"""The tables of the file, as named steps; each runs once, in one transaction with its record.

`user_version` holds the number of steps: a file with more of them was written by a newer version and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

APPLICATION_ID = 0x534D4C31  # "SML1", so that `file` and we can tell it from other databases

_JSON = "SELECT row, received, topic, CAST(value AS TEXT) AS json FROM log"


def _view(name: str, suffix: str, columns: dict[str, str]) -> str:
    """Statement of a view over one output topic of every pipeline, JSON fields as columns."""
    taken = ",\n  ".join(f"json ->> '{path}' AS \"{column}\"" for column, path in columns.items())
    return (
        f"CREATE VIEW {name} AS SELECT row, received AS written,\n"
        f"  substr(topic, 1, length(topic) - {len(suffix)}) AS pipeline,\n  {taken},\n  json\n"
        f"FROM ({_JSON} WHERE topic IN (SELECT name || '{suffix}' FROM pipelines))"
    )


def _fields(*names: str) -> dict[str, str]:
    return {name: f"$.{name}" for name in names}


@dataclass(frozen=True, slots=True)
class Migration:
    """A named step from one layout to the next."""

    name: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001_log_and_journal",
        (
            "CREATE TABLE log (row INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
            " partition INTEGER NOT NULL DEFAULT 0, received INTEGER NOT NULL, key TEXT, value BLOB NOT NULL)",
            "CREATE TABLE pipelines (name TEXT PRIMARY KEY, created INTEGER NOT NULL, updated INTEGER,"
            " status TEXT) WITHOUT ROWID",
            "CREATE TABLE journal (pipeline TEXT NOT NULL, number INTEGER NOT NULL, entry BLOB NOT NULL,"
            " PRIMARY KEY (pipeline, number)) WITHOUT ROWID",
            "CREATE TABLE segments (pipeline TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,"
            " UNIQUE (pipeline, number))",
            "CREATE TABLE manifest (pipeline TEXT NOT NULL, generation INTEGER NOT NULL, entry INTEGER NOT NULL,"
            " first_segment INTEGER NOT NULL, made INTEGER NOT NULL, data BLOB NOT NULL,"
            " PRIMARY KEY (pipeline, generation)) WITHOUT ROWID",
        ),
    ),
    Migration(
        "0002_views",
        (
            _view(
                "predictions",
                ".predictions",
                _fields("prediction_id", "id", "key", "at", "prediction", "score", "probabilities", "version", "late")
                | {"features": "$.features"},
            ),
            _view(
                "examples",
                ".examples",
                _fields("id", "key", "at", "received", "known", "fate", "target", "weight", "prediction", "score")
                | _fields("version", "features", "slices"),
            ),
            _view(
                "dead_letters",
                ".dead",
                {"source": "$.topic"}
                | _fields("partition", "offset", "received", "reason", "path", "message", "raw", "size"),
            ),
            _view(
                "alarms",
                ".alarms",
                _fields("what", "detector", "since", "at", "from", "to", "confidence", "version"),
            ),
            _view("metrics", ".metrics", _fields("name", "slice", "window", "value", "n", "at", "version")),
        ),
    ),
    Migration(
        "0003_attempts",
        (
            "CREATE TABLE attempts (pipeline TEXT PRIMARY KEY, entry INTEGER NOT NULL, kind TEXT NOT NULL,"
            " size INTEGER NOT NULL, deaths INTEGER NOT NULL, begun INTEGER NOT NULL) WITHOUT ROWID",
        ),
    ),
)

FORMAT = len(MIGRATIONS)

"""Ways to write and read rows of the log in bulk, and what a lone commit costs: why the local engine does what it does.

    python benchmarks/sqlite.py [--rounds N] [--folder DIR]

A unit is one payment: one prediction (180 bytes) and one example (630 bytes) written, two records read. Ways are run in
turn (A B A B …); medians with their range, wall and CPU microseconds a unit; checkpoints are in the wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import apsw

TURN = 2_000
TURNS = 20
PAGES = (4_096, 16_384, 65_536)
TABLE = (
    "CREATE TABLE log (row INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
    " partition INTEGER NOT NULL DEFAULT 0, received INTEGER NOT NULL, key TEXT, value BLOB NOT NULL)"
)
PREDICTION = json.dumps(
    {"prediction_id": "payments/0/123456", "id": "p00123456", "key": "c01234", "at": 1_700_000_000_000}
    | {"prediction": False, "score": 0.01234567890123, "version": ["a1b2c3d4", 123_456]}
).encode()
EXAMPLE = json.dumps(
    {"id": "p00123456", "key": "c01234", "at": 1_700_000_000_000, "received": 1_700_000_000_000}
    | {"known": 1_700_000_000_000, "fate": "label", "target": False, "weight": 1.0, "prediction": False}
    | {"score": 0.0123456789, "version": ["a1b2c3d4", 123_456], "slices": {}}
    | {"features": {f"feature_{i}": 0.123456789012345 * i for i in range(12)}}
).encode()
KEYS = [f"c{i % 5_000:05d}" for i in range(TURN)]

Way = Callable[[apsw.Connection, str, int, list[bytes]], None]


def new(folder: Path, page: int) -> apsw.Connection:
    """Make an empty log with pages of so many bytes."""
    for suffix in ("", "-wal", "-shm"):
        (folder / f"bench.db{suffix}").unlink(missing_ok=True)
    connection = apsw.Connection(str(folder / "bench.db"))
    connection.execute(f"PRAGMA page_size = {page}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(TABLE)
    return connection


def executemany(connection: apsw.Connection, topic: str, received: int, values: list[bytes]) -> None:
    """Run one statement a row."""
    connection.executemany(
        "INSERT INTO log (topic, received, key, value) VALUES (?, ?, ?, ?)",
        [(topic, received, key, value) for key, value in zip(KEYS, values, strict=True)],
    )


_HUNDRED = ",".join(f"(?1, ?2, ?{3 + 2 * i}, ?{4 + 2 * i})" for i in range(100))


def values_of_100(connection: apsw.Connection, topic: str, received: int, values: list[bytes]) -> None:
    """Bind a hundred rows to one statement."""
    for start in range(0, TURN, 100):
        flat: list[str | int | bytes] = [b""] * 202
        flat[0], flat[1] = topic, received
        flat[2::2] = KEYS[start : start + 100]
        flat[3::2] = values[start : start + 100]
        connection.execute(f"INSERT INTO log (topic, received, key, value) VALUES {_HUNDRED}", flat)


def carray(connection: apsw.Connection, topic: str, received: int, values: list[bytes]) -> None:
    """Let SQLite read the values from an array, no key."""
    connection.execute(
        "INSERT INTO log (topic, received, value) SELECT ?1, ?2, value FROM carray(?3)",
        (topic, received, apsw.carray(tuple(values))),
    )


def carray_and_json_key(connection: apsw.Connection, topic: str, received: int, values: list[bytes]) -> None:
    """Let SQLite read the values from an array and the key from the JSON."""
    connection.execute(
        "INSERT INTO log (topic, received, key, value)"
        " SELECT ?1, ?2, CAST(value AS TEXT) ->> '$.key', value FROM carray(?3)",
        (topic, received, apsw.carray(tuple(values))),
    )


WRITES: tuple[Way, ...] = (executemany, values_of_100, carray, carray_and_json_key)


def write(folder: Path, way: Way, page: int) -> tuple[float, float]:
    """Write turns; give wall and CPU microseconds a unit."""
    connection = new(folder, page)
    begun, cpu = time.perf_counter(), time.process_time()
    for turn in range(TURNS):
        connection.execute("BEGIN IMMEDIATE")
        way(connection, "cards.predictions", turn, [PREDICTION] * TURN)
        way(connection, "cards.examples", turn, [EXAMPLE] * TURN)
        connection.execute("COMMIT")
        if turn % 8 == 7:
            connection.wal_checkpoint()
    spent = time.perf_counter() - begun, time.process_time() - cpu
    count = connection.execute("SELECT count(*) FROM log").get
    assert count == 2 * TURN * TURNS, count
    connection.close()
    return spent[0] / (TURN * TURNS) * 1e6, spent[1] / (TURN * TURNS) * 1e6


def whole(cursor: apsw.Cursor) -> int:
    """Fetch all rows at once."""
    return len(cursor.fetchall())


def in_slices(cursor: apsw.Cursor) -> int:
    """Fetch 64 rows at a time and sum their bytes: what the engine does, so that a part is bounded."""
    count = 0
    while rows := list(islice(cursor, 64)):
        count += len(rows)
        sum(len(row[4]) for row in rows)
    return count


def read(folder: Path, way: Callable[[apsw.Cursor], int]) -> tuple[float, float]:
    """Read two topics, 4,000 rows at a time; give wall and CPU microseconds for two rows."""
    connection = apsw.Connection(str(folder / "bench.db"))
    rows = int(connection.execute("SELECT max(row) FROM log").get)
    begun, cpu = time.perf_counter(), time.process_time()
    count = 0
    for start in range(0, rows, 4_000):
        count += way(
            connection.execute(
                "SELECT row, topic, received, key, value FROM log"
                " WHERE row > ? AND row <= ? AND topic IN (?, ?) ORDER BY row",
                (start, start + 4_000, "payments", "chargebacks"),
            )
        )
    spent = time.perf_counter() - begun, time.process_time() - cpu
    assert count == rows, (count, rows)
    connection.close()
    return spent[0] / rows * 2e6, spent[1] / rows * 2e6


def fill(folder: Path) -> None:
    """Make a log of 100,000 payments and chargebacks."""
    connection = new(folder, 16_384)
    for _ in range(50):
        for topic in ("payments", "chargebacks"):
            connection.execute("BEGIN IMMEDIATE")
            carray(connection, topic, 1_700_000_000_000, [PREDICTION[:110]] * TURN)
            connection.execute("COMMIT")
    connection.close()


def lone(folder: Path, page: int) -> tuple[float, float]:
    """Commit one record after another; give the median and the 99th percentile of milliseconds."""
    connection = new(folder, page)
    spent = []
    for _ in range(300):
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO log (topic, received, value) VALUES ('t', 0, ?)", (PREDICTION,))
        connection.execute("COMMIT")
        spent.append((time.perf_counter() - begun) * 1e3)
    connection.close()
    ordered = sorted(spent)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


def line(name: str, runs: list[tuple[float, float]]) -> str:
    """Spell medians and ranges."""
    wall, cpu = ([run[i] for run in runs] for i in (0, 1))
    return (
        f"{name:<36} {statistics.median(wall):6.2f} ({min(wall):.2f} to {max(wall):.2f})"
        f"   {statistics.median(cpu):6.2f} ({min(cpu):.2f} to {max(cpu):.2f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        print(f"SQLite {apsw.sqlite_lib_version()}, synchronous=FULL, turns of {TURN:,}, {options.rounds} rounds")
        print(f"{'writing, us a unit':<36} wall (range)            CPU (range)")
        writes = {(way, page): [] for way in WRITES for page in PAGES}  # type: dict[tuple[Way, int], list[tuple[float, float]]]
        for _ in range(options.rounds):
            for (way, page), runs in writes.items():
                runs.append(write(folder, way, page))
        for (way, page), runs in writes.items():
            print(line(f"{getattr(way, '__name__', '')}, pages of {page:,}", runs))
        print("reading, us a unit")
        fill(folder)
        reads: dict[Callable[[apsw.Cursor], int], list[tuple[float, float]]] = {whole: [], in_slices: []}
        for _ in range(options.rounds):
            for fetch, runs in reads.items():
                runs.append(read(folder, fetch))
        for fetch, runs in reads.items():
            print(line(getattr(fetch, "__name__", ""), runs))
        print("one record a commit, ms: median, 99th percentile")
        for page in PAGES:
            median, high = lone(folder, page)
            print(f"{f'pages of {page:,}':<36} {median:6.2f} {high:6.2f}")


if __name__ == "__main__":
    main()

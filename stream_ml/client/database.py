"""Opening the SQLite file, and what its failures mean.

`failures(path)` turns every error of SQLite into one of ours, with the file's name and a cure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

import apsw

from stream_ml.client.migrations import APPLICATION_ID, FORMAT, MIGRATIONS
from stream_ml.config.settings import Durable
from stream_ml.errors import BusyError, CorruptError, FormatError, InputError, StorageError, StreamMLError, UsageError

_PAUSE_S = 0.005

OLDEST = (3, 51, 3)
PAGE_BYTES = 16_384
BUSY_MS = 10_000


class Access(Enum):
    """What a connection may do."""

    READ = "read"
    WRITE = "write"


def require_sqlite(version: str) -> None:
    """Refuse an SQLite whose WAL can be corrupted by two writing processes.

    Parameters
    ----------
    version
        As `apsw.sqlite_lib_version()` tells it.

    Raises
    ------
    StorageError
        If it is older than 3.51.3 (https://www.sqlite.org/wal.html#walresetbug).
    """
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        msg = f"SQLite {version} can corrupt a file that two processes write (its WAL-reset bug)"
        raise StorageError(
            msg,
            f"Install apsw with SQLite {wanted} or newer: pip install --upgrade apsw",
        )


def open_database(
    path: Path, access: Access, durable: Durable = Durable.FULL, busy_ms: int = BUSY_MS
) -> apsw.Connection:
    """Open the file, making it or bringing its tables up to date when it is opened to write.

    Parameters
    ----------
    path
        The file.
    access
        `READ` never makes or changes anything.
    durable
        `FULL` waits for the disk at each commit; `NORMAL` may lose the last moments at power loss.
    busy_ms
        How long a statement waits for other processes' writes.

    Raises
    ------
    InputError, UsageError, BusyError, StorageError, CorruptError, FormatError
        Missing, not openable, locked, failing, damaged or newer than this package.
    """
    require_sqlite(apsw.sqlite_lib_version())
    require_place(path, access)
    name, flags = _how(path, access)
    connection: apsw.Connection | None = None
    try:
        with failures(path):
            connection = apsw.Connection(name, flags=flags)
            connection.set_busy_timeout(busy_ms)
            if access is Access.WRITE:
                _prepare(connection, path, durable, busy_ms)
            else:
                _require_ours(connection, path, empty=False)
    except BaseException:
        if connection is not None:
            with suppress(apsw.Error):
                connection.close()
        raise
    return connection


def _how(path: Path, access: Access) -> tuple[str, int]:
    """Choose SQLite's name and flags for the file.

    A reader needs the files of the write-ahead log beside it; where they can neither be found nor made, nobody writes,
    and the file is read as it is.
    """
    if access is Access.WRITE:
        return str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        return f"{path.resolve().as_uri()}?immutable=1", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return str(path), apsw.SQLITE_OPEN_READONLY


def require_place(path: Path, access: Access) -> None:
    """Refuse what cannot be a file here, before anything costly is done.

    Raises
    ------
    UsageError, InputError
        A folder, a file in a folder that is not there, or, to read, no file.
    """
    if path.is_dir():
        msg = f"{path} is a folder"
        raise UsageError(msg, "Name a file in it")
    if access is Access.READ and not path.exists():
        msg = f"There is no file {path}"
        raise InputError(msg, "Produce into it or run a pipeline on it first")
    if not path.parent.is_dir():
        msg = f"There is no folder {path.parent}"
        raise UsageError(msg, f"Make it: mkdir -p {path.parent}")


def _prepare(connection: apsw.Connection, path: Path, durable: Durable, busy_ms: int) -> None:
    if connection.readonly("main"):
        msg = f"{path} is read only"
        raise StorageError(msg, "Change its permissions, or use a copy that you may write")
    if os.path.getsize(path) == 0:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    found = _require_ours(connection, path, empty=True)
    if found == 0:
        _into_wal(connection, busy_ms)
    connection.execute(f"PRAGMA synchronous = {durable.value.upper()}")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA trusted_schema = OFF")
    if found < FORMAT:
        _migrate(connection)


def _into_wal(connection: apsw.Connection, busy_ms: int) -> None:
    """Switch a new file to a write-ahead log; two processes may open it at once.

    SQLite does not wait by itself here: where both read the file and want to write it, waiting could never end.
    """
    deadline = time.monotonic() + busy_ms / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)  # noqa: TID251  (nothing tells when another process lets its lock go)
        else:
            return


def _format(connection: apsw.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").get)


def _require_ours(connection: apsw.Connection, path: Path, *, empty: bool) -> int:
    """Give the file's format; refuse what is not ours, or newer, and what is empty unless that is allowed.

    One transaction, since another process may be making the file just now.
    """
    connection.execute("BEGIN")
    try:
        found = _format(connection)
        ours = connection.execute("PRAGMA application_id").get == APPLICATION_ID
        blank = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").get is None
    finally:
        connection.execute("COMMIT")
    if not ours and not blank:
        cause = f"{path} is a database of another program"
        raise CorruptError(cause, "Name another file; this one is left as it is")
    if not ours and not empty:
        cause = f"{path} holds nothing yet"
        raise InputError(cause, "Produce into it or run a pipeline on it first")
    if found > FORMAT:
        cause = f"{path} has format {found}, newer than this version's {FORMAT}"
        raise FormatError(cause, "Upgrade: pip install --upgrade stream-ml")
    return found


def _migrate(connection: apsw.Connection) -> None:
    """Run the steps that the file has not seen, each in one transaction with its record.

    Two processes may open a new file at once: the step to run is read inside the transaction.
    """
    while True:
        with transaction(connection):
            done = _format(connection)
            if done >= FORMAT:
                return
            step = MIGRATIONS[done]
            if done == 0:
                connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied INTEGER NOT NULL)")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in step.statements:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (step.name, time.time_ns() // 1_000_000))
            connection.execute(f"PRAGMA user_version = {done + 1}")


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Hold the writer's lock for the block; commit at its end, roll back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(apsw.Error):
                connection.execute("ROLLBACK")
        raise


_CURES: tuple[tuple[type[apsw.Error], type[StreamMLError], str, str], ...] = (
    (apsw.NotADBError, CorruptError, "{path} is not a database", "Name another file; this one is left as it is"),
    (
        apsw.CorruptError,
        CorruptError,
        "{path} is damaged ({error})",
        "Restore it from a copy, or save what can be read: sqlite3 {path} .recover",
    ),
    (
        apsw.BusyError,
        BusyError,
        "{path} is locked by another process",
        "End the program that holds a transaction open on it, then try again",
    ),
    (apsw.LockedError, BusyError, "{path} is locked by another process", "Try again"),
    (
        apsw.FullError,
        StorageError,
        "No space is left on the disk of {path}",
        "Make room and start again: what was acknowledged is safe, nothing else was stored",
    ),
    (apsw.ReadOnlyError, StorageError, "{path} cannot be written", "Change the permissions of the file and its folder"),
    (apsw.CantOpenError, StorageError, "{path} cannot be opened ({error})", "Check the path and its permissions"),
    (apsw.PermissionsError, StorageError, "{path} may not be opened", "Change its permissions"),
    (apsw.TooBigError, UsageError, "A record is too large for {path}", "SQLite holds at most 1 GB a value"),
)


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turn SQLite's errors of the block into ours: one line with the file, the cause and the cure."""
    try:
        yield
    except apsw.Error as error:
        for kind, ours, cause, cure in _CURES:
            if isinstance(error, kind):
                raise ours(cause.format(path=path, error=error), cure.format(path=path)) from error
        msg = f"The disk or the file {path} failed ({type(error).__name__}: {error})"
        raise StorageError(
            msg,
            "Nothing of this was stored. Check the disk, then start again",
        ) from error

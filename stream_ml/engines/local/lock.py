"""One worker a pipeline and file: an advisory lock that the kernel drops with the process, also at kill -9."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from stream_ml.errors import BusyError, StorageError


def lock_path(database: Path, pipeline: str) -> Path:
    """Path of the lock's file: beside the database, named after the pipeline.

    Examples
    --------
    >>> lock_path(Path("data/fraud.db"), "fraud").as_posix()
    'data/fraud.db.fraud.lock'
    """
    return database.with_name(f"{database.name}.{pipeline}.lock")


class WorkerLock:
    """Held from construction to `close`.

    The file stays: removing it would let two workers hold a lock on two files of one name. It holds the worker's
    process id until `close`: an id that is found there tells of a worker that died, and `died` is then true.

    Raises
    ------
    BusyError
        If another worker holds it.
    StorageError
        If the file cannot be made.
    """

    def __init__(self, database: Path, pipeline: str) -> None:
        path = lock_path(database, pipeline)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            cause = f"The lock {path} cannot be made ({error.strerror})"
            raise StorageError(cause, "Make its folder writable") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                cause = f"The file system of {path} has no locks ({error.strerror})"
                raise StorageError(cause, "Put the file on a local disk") from error
            who = f" (process {holder})" if holder else ""
            cause = f"Another worker{who} runs pipeline {pipeline!r} on {database}"
            raise BusyError(cause, "Stop it first: one worker a pipeline and file") from None
        self.died = bool(os.read(self._fd, 1))
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self, *, died: bool = False) -> None:
        """Let go; the next worker may start, and is told where this one died."""
        if not died:
            os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(database: Path, pipeline: str) -> int | None:
    """Process that runs the pipeline on this file, None if nobody does.

    Examples
    --------
    >>> holder(Path("nowhere.db"), "fraud") is None
    True
    """
    try:
        fd = os.open(lock_path(database, pipeline), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(fd, 32).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(fd)
    return None

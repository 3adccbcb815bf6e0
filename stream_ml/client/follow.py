"""Waiting for commits of other connections, without burning a core.

`PRAGMA data_version` says whether another connection has committed; asking it every few milliseconds costs two to three
percent of a core, most of it waking up. So on Linux the kernel wakes us: the write-ahead log is watched with inotify.
Its writes come before the commit can be seen, so after a write the version is asked at growing intervals.
Elsewhere, and once a second in any case, the version is asked by the clock.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
from pathlib import Path

import apsw

_IN_MODIFY = 0x00000002
_IN_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK

QUICK_S = 0.0005  # between two looks just after a write
GROWTH = 0.1  # later looks come after this share of the time since the write: a slow commit is seen at most 10 % late
CLOCK_S = 0.005  # where the kernel does not wake us
SLOW_S = 1.0  # the safety net where it does


class Watch:
    """The kernel's notice that a file was written; `fd` is readable then. `fd` is -1 where there is no such notice."""

    def __init__(self, path: Path) -> None:
        self.fd = -1
        if not sys.platform.startswith("linux"):
            return
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.inotify_init1(_IN_CLOEXEC_NONBLOCK))
        if fd < 0:
            return
        if int(libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY)) < 0:
            os.close(fd)
            return
        self.fd = fd

    def drain(self) -> None:
        """Forget the notices so far."""
        try:
            while self.fd >= 0 and os.read(self.fd, 65_536):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Follow:
    """Waits until another connection has committed something.

    Order: `mark`, read; if nothing was read, `wait`; `close` at the end. `interrupt` ends a wait from a signal handler.

    Parameters
    ----------
    connection
        Of the reader.
    path
        The database file.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._wal = Path(f"{path}-wal")
        self._version = self._ask()
        self._watch = Watch(self._wal)
        self._stop_read, self._stop_write = os.pipe()
        self._written = time.monotonic()

    def _ask(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").get)

    def mark(self) -> None:
        """Remember the file's version: what is committed from here on ends the wait."""
        self._version = self._ask()

    def interrupt(self) -> None:
        """End the present wait, or the next one; may be called from a signal handler."""
        os.write(self._stop_write, b"!")

    def close(self) -> None:
        """Give the descriptors back."""
        self._watch.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def wait(self, seconds: float) -> bool:
        """Wait for a commit of another connection; true if there was one, false after `seconds` or an interrupt."""
        until = time.monotonic() + seconds
        while self._ask() == self._version:
            now = time.monotonic()
            if now >= until:
                return False
            if self._pause(min(self._interval(now), until - now)):
                return False
        return True

    def _interval(self, now: float) -> float:
        if self._watch.fd < 0:
            self._watch = Watch(self._wal)
            return CLOCK_S
        return min(SLOW_S, max(QUICK_S, GROWTH * (now - self._written)))

    def _pause(self, seconds: float) -> bool:
        """Sleep until something is written, or so long; true on an interrupt."""
        watched = [self._stop_read] + ([self._watch.fd] if self._watch.fd >= 0 else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._watch.fd in ready:
            self._watch.drain()
            self._written = time.monotonic()
        if self._stop_read in ready:
            os.read(self._stop_read, 4_096)
            return True
        return False

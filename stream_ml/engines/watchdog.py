"""Ends the process when a turn never ends: a model that loops, or that waits for something that never comes."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from types import FrameType

from stream_ml.errors import Exit

SLOW = 0.1  # share of the limit that a turn is to take at most
_FIRST = 250  # records
_LOOKS = 8  # within the limit; a turn is counted in looks, so that a stopped process (SIGSTOP) loses none


class Watchdog:
    """Watches turns, one at a time, in whichever thread each begins; a turn costs it a few assignments.

    A thread looks now and then whether the turn that it saw last is still going on. Where not even that thread can run,
    because something holds the interpreter in machine code, faulthandler ends the process, with a traceback instead of
    the line.

    Parameters
    ----------
    limit_s
        Longest that a turn may take, seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._thread = 0
        self._turn: str | None = None
        self._number = 0
        self._ended = threading.Event()
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    def begin(self, turn: str) -> None:
        """Begin a turn, named as the line will name it."""
        self._thread = threading.get_ident()
        self._number += 1
        self._turn = turn

    def end(self) -> None:
        """End the turn at hand."""
        self._turn = None

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()

    def _look(self) -> None:
        seen, looks = 0, 0
        while not self._ended.is_set():
            faulthandler.dump_traceback_later(2 * self._limit_s, exit=True)
            self._ended.wait(self._limit_s / _LOOKS)
            turn, number = self._turn, self._number
            looks = looks + 1 if turn is not None and number == seen else 0
            seen = number
            if turn is not None and looks >= _LOOKS:
                self._bite(turn)

    def _bite(self, turn: str) -> None:
        where = _innermost(sys._current_frames().get(self._thread))  # noqa: SLF001  (the one way to see a thread)
        line = f"stream-ml: {turn} takes longer than {self._limit_s:g} s, {where}. Start again: it is tried anew\n"
        os.write(2, line.encode())
        os._exit(Exit.FAILURE)


def first(batch: int, *, compiled: bool) -> int:
    """Return how many records the first turn may have, `batch` at most: few where river, which may be slow, runs."""
    return batch if compiled else min(_FIRST, batch)


def paced(turn: int, records: int, feed_s: float, limit_s: float, most: int) -> int:
    """Return how many records the next turn may have: a slow turn is not to be taken for one that never ends.

    Parameters
    ----------
    turn
        How many the last one might have had.
    records, feed_s
        How many it had, and what they took, seconds.
    limit_s
        Longest that a turn may take, seconds.
    most
        How many it may be in any case.

    Examples
    --------
    >>> paced(250, 250, 0.5, 60.0, 4_000), paced(4_000, 4_000, 20.0, 60.0, 4_000)
    (500, 1200)
    """
    allowed = SLOW * limit_s
    larger = 2 * turn if feed_s <= allowed else int(records * allowed / feed_s)
    return min(max(1, larger), most)


def _innermost(frame: FrameType | None) -> str:
    if frame is None:
        return "nobody knows where"
    return f"at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"

"""Ends a process whose loop no longer turns: a hung worker would be waited for until its session ends, or for ever."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
import time

from stream_ml.errors import Exit

_EVERY_S = 1.0


class LoopWatchdog:
    """Watches the loop that it is started in, from a thread.

    Parameters
    ----------
    stall_s
        How long the loop may stand still.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._turned = time.monotonic()
        self._over = threading.Event()
        self._handle: asyncio.TimerHandle | None = None
        self.worst_s = 0.0

    def start(self) -> None:
        """Begin; to be called in the loop."""
        self._turn()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Leave off."""
        self._over.set()
        if self._handle is not None:
            self._handle.cancel()

    def _turn(self) -> None:
        now = time.monotonic()
        self.worst_s = max(self.worst_s, now - self._turned - _EVERY_S)
        self._turned = now
        self._handle = asyncio.get_running_loop().call_later(_EVERY_S, self._turn)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            late = time.monotonic() - self._turned
            if late > self._stall_s:
                sys.stderr.write(f"the worker's loop has not turned for {late:.0f} s: this process ends\n")
                faulthandler.dump_traceback(all_threads=True)
                sys.stderr.flush()
                os._exit(Exit.FAILURE)

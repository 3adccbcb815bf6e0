"""What is done before anything is served, and given up when a stop is asked for meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class GivenUp:
    """Work that `stop` cuts short: joining, acquiring, restoring. Whoever does it again begins anew."""

    def __init__(self) -> None:
        self._work: asyncio.Task[Any] | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Cut it short, or let none begin."""
        if self._work is not None and not self._stopped.is_set():
            self._work.cancel()
        self._stopped.set()

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do the work; None where it was cut short."""
        if self._stopped.is_set():
            work.close()
            return None
        self._work = asyncio.create_task(work)
        try:
            return await self._work
        except asyncio.CancelledError:
            if not self._stopped.is_set():
                raise
            return None
        finally:
            self._work = None

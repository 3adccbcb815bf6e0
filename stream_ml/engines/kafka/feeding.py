"""Computes the turns of one task, large ones beside the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from stream_ml.engines.kafka.job import Shared
from stream_ml.engines.kafka.pace import Pace
from stream_ml.engines.kafka.states import Told
from stream_ml.schema.records import Run
from stream_ml.sessions.base import Place
from stream_ml.sessions.session import Turn

#: Records from which a turn takes longer than handing it to a thread does.
_MANY = 1_000


class Feeding:
    """Computes turns, one at a time in a process.

    While a thread computes a large one, or one of a model that may be slow, the loop goes on writing the turn before
    it, fetching what comes, and telling the group that this worker lives. Kernels let go of the interpreter: what the
    loop does meanwhile is done beside them, on another core.

    Parameters
    ----------
    session
        What computes.
    name
        Of the task, as the watchdog names it.
    told
        Takes how much was fed, and how long that took.
    """

    def __init__(self, session: Any, shared: Shared, name: str, told: Told) -> None:
        self._session, self._shared, self._name, self._told = session, shared, name, told
        self._compiled: bool = session.learner.compiled
        self._pace = Pace(shared.settings, compiled=self._compiled)

    @property
    def limit(self) -> int:
        """How many records the next turn may have."""
        return self._pace.records

    async def turn(
        self, runs: Sequence[Run], tick: int | None = None, skipped: Sequence[Place] = ()
    ) -> tuple[Turn, float]:
        """Compute a turn, once no other one is being computed; returns what that took, too, in seconds."""
        records = sum(len(run.values) for run in runs)
        async with self._shared.gate.turn():
            begun = time.perf_counter()
            if records < _MANY and self._compiled:
                turn = self._fed(runs, tick, skipped)
            else:
                turn = await asyncio.to_thread(self._fed, runs, tick, skipped)
            fed_s = time.perf_counter() - begun
        if records:
            self._pace.after(records, len(turn.entry), fed_s)
        self._told.records += records
        self._told.feed_s += fed_s
        return turn, fed_s

    def _fed(self, runs: Sequence[Run], tick: int | None, skipped: Sequence[Place]) -> Turn:
        watchdog = self._shared.watchdog
        if watchdog is not None:
            what = ", ".join(f"{run.source} {run.offsets[0]} to {run.offsets[-1]}" for run in runs if len(run.values))
            watchdog.begin(f"{self._name}, turn {self._session.number + 1} ({what or 'deadlines'})")
        try:
            given = {"skipped": skipped} if tick is None else {"skipped": skipped, "tick": tick}
            turn: Turn = self._session.feed(runs, **given)
            return turn
        finally:
            if watchdog is not None:
                watchdog.end()

"""Where a task is, and its numbers for those who watch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """Where a task is.

    ACQUIRING → RESTORING → RUNNING → DRAINING → CLOSED; from each but CLOSED an error leads to FAILED, and a failed
    task is never used again: the worker makes a new one, which acquires anew.
    """

    ACQUIRING = "acquiring"
    RESTORING = "restoring"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


ARROWS = {
    State.ACQUIRING: {State.RESTORING, State.CLOSED, State.FAILED},
    State.RESTORING: {State.RUNNING, State.CLOSED, State.FAILED},
    State.RUNNING: {State.DRAINING, State.FAILED},
    State.DRAINING: {State.CLOSED, State.FAILED},
    State.CLOSED: set(),
    State.FAILED: set(),
}


@dataclass(slots=True)
class Told:
    """A task's numbers, for metrics and health."""

    state: State = State.ACQUIRING
    records: int = 0
    turns: int = 0
    feed_s: float = 0.0
    commit_s: float = 0.0
    lag: int = 0
    committed: float = field(default_factory=time.monotonic)
    snapshots: int = 0
    snapshot_bytes: int = 0
    snapshot_at: float | None = None
    restored: tuple[int, int] = (0, 0)
    line: str = ""

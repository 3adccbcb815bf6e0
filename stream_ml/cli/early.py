"""A stop that is asked for before a worker can drain: nothing has begun, so there is nothing to end."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def stoppable() -> None:
    """Let SIGTERM end the process with a line and exit code 0, until a worker takes the signal over."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    sys.stderr.write("stopped before it began\n")
    sys.exit(0)

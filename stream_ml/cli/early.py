"""What `run` does before anything is loaded: a stop is met, since nothing has begun that would have to end."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType


def stoppable() -> None:
    """Let SIGTERM end the process with a line and exit code 0, until a worker takes the signal over."""
    signal.signal(signal.SIGTERM, _leave)


def uncollected() -> None:
    """Keep the collector off what is being loaded, which is a fifth of a start; `ready.settle` lets it go on."""
    gc.disable()


def _leave(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    sys.stderr.write("stopped before it began\n")
    sys.exit(0)

"""Where a turn's time goes: what the session spent in each stage, for those who watch."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream_ml.sessions.base import BEGIN


class Stages:
    """Sums the seconds between the marks of a session's turns, by the name of what ended there.

    Parameters
    ----------
    clock
        Seconds.

    Examples
    --------
    >>> moments = iter([1.0, 1.25, 1.5, 3.5])
    >>> stages = Stages(lambda: next(moments))
    >>> for stage in ("begin", "decode", "model", "model"):
    ...     stages(stage)
    >>> stages.seconds
    {'decode': 0.25, 'model': 2.25}
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._since = 0.0

    def __call__(self, stage: str) -> None:
        """Take note that a stage ends here; what lies before a turn's beginning is none."""
        now = self._clock()
        if stage != BEGIN:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

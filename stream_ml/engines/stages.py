"""Where a turn's time goes: what the session spent in each stage, for those who watch."""

from __future__ import annotations

import time
from collections.abc import Callable


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
    >>> stages.begin()
    1.0
    >>> stages("decode"), stages("model"), stages("model")
    (None, None, None)
    >>> stages.seconds
    {'decode': 0.25, 'model': 2.25}
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._since = 0.0

    def begin(self) -> float:
        """Begin a turn; returns when."""
        self._since = self._clock()
        return self._since

    def since(self, begun: float) -> float:
        """Return the seconds since a turn began."""
        return self._clock() - begun

    def __call__(self, stage: str) -> None:
        """Take note that a stage ends here."""
        now = self._clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

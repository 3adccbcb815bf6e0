"""How many records a task's next turn may have."""

from __future__ import annotations

from stream_ml.config.settings import Settings
from stream_ml.engines.watchdog import first, paced

_LARGE = 450_000  # bytes of a journal entry


class Pace:
    """Lets turns grow to the most that is allowed; cuts them where entries become large, or the model is slow.

    Parameters
    ----------
    settings
        The most records, and how long a turn may take.
    compiled
        Whether no part of the model is left to river.

    Examples
    --------
    >>> Pace(Settings(batch=1_000), compiled=True).records
    1000
    >>> pace = Pace(Settings(batch=1_000), compiled=False)
    >>> pace.after(records=250, entry=2_000, fed_s=0.01)
    >>> pace.records
    500
    >>> pace.after(records=500, entry=600_000, fed_s=0.01)
    >>> pace.records
    250
    """

    def __init__(self, settings: Settings, *, compiled: bool) -> None:
        self._settings = settings
        self.records = first(settings.batch, compiled=compiled)

    def after(self, records: int, entry: int, fed_s: float) -> None:
        """Take note of a turn: its records, the bytes of its journal entry, the seconds that it took."""
        settings = self._settings
        most = paced(self.records, records, fed_s, settings.turn_seconds, settings.batch)
        if entry > _LARGE:
            self.records = min(most, max(1, self.records // 2))
        elif entry < _LARGE // 3:
            self.records = most
        else:
            self.records = min(most, self.records)

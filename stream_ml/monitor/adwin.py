"""The running drift detector: errors in, changes out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels import adwin
from stream_ml.monitor import spec as declared

#: Version of what :meth:`ADWIN.save` gives.
FORMAT = 1


class Drift(NamedTuple):
    """One change: where it was noticed, and the error's mean before and after it.

    Attributes
    ----------
    index
        Place, in the given values, of the value at which it was noticed.
    mean_before, mean_after
        Means of the older values that were dropped and of the newer ones that were kept.
    dropped, kept
        How many values those were: the change began about `kept` values ago.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index
    mean_before: float
    mean_after: float
    dropped: int
    kept: int


class ADWIN:
    """Adaptive windowing, equal to ``river.drift.ADWIN`` decision for decision.

    `update` in the order of the examples; `save` between updates, `load` into a fresh one. How values are cut into
    updates is invisible. Memory is fixed: 50 rows of buckets, some 5 KiB.

    Parameters
    ----------
    spec
        The detector's declaration.

    Examples
    --------
    >>> detector = ADWIN(declared.ADWIN())
    >>> detector.update(np.repeat([0.0, 1.0], 1000))
    [Drift(index=1023, mean_before=0.0, mean_after=0.42857142857142855, dropped=968, kept=56)]
    >>> detector.update(np.ones(8)), detector.width, detector.estimation
    ([], 984, 1.0)
    """

    def __init__(self, spec: declared.ADWIN) -> None:
        self.spec = spec
        self._buckets = np.zeros((adwin.ROWS, 2, spec.max_buckets + 1))
        self._held = np.zeros(adwin.ROWS, np.int64)
        self._counts = np.array([1, 0, 0, 0], np.int64)
        self._moments = np.zeros(3)
        self._rules = np.array([spec.delta, spec.min_window_length, spec.grace_period, spec.clock], np.float64)

    def update(self, errors: NDArray[np.float64]) -> list[Drift]:
        """Feed errors [n] in order, NaN left out; returns the changes noticed, oldest first."""
        found = np.empty((len(errors) // self.spec.clock + 1, 5))
        errors = np.ascontiguousarray(errors, np.float64)
        changes = adwin.watch(errors, self._buckets, self._held, self._counts, self._moments, self._rules, found)
        return [
            Drift(int(index), before, after, int(dropped), int(kept))
            for index, before, after, dropped, kept in found[:changes].tolist()
        ]

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return int(self._moments[adwin.WIDTH])

    @property
    def total(self) -> float:
        """Sum of the window's values."""
        return float(self._moments[adwin.TOTAL])

    @property
    def spread(self) -> float:
        """Sum of the squared deviations of the window's values from their mean."""
        return float(self._moments[adwin.SPREAD])

    @property
    def estimation(self) -> float:
        """Mean of the window's values, 0 for none."""
        return self.total / self.width if self.width else 0.0

    @property
    def seen(self) -> int:
        """How many values were ever fed."""
        return int(self._counts[adwin.SEEN])

    def save(self) -> dict[str, Any]:
        """Return the state as arrays: buckets row by row oldest first, without what is left over beside them."""
        used = np.arange(self._buckets.shape[2]) < self._held[:, None]
        return {
            "format": FORMAT,
            "counts": self._counts.copy(),
            "moments": self._moments.copy(),
            "held": self._held.copy(),
            "totals": self._buckets[:, adwin.TOTALS][used],
            "spreads": self._buckets[:, adwin.SPREADS][used],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `save` of a detector of the same declaration returned.

        Raises
        ------
        ValueError
            When the state is of another format or another declaration.
        """
        held = np.asarray(state["held"], np.int64)
        if state["format"] != FORMAT or held.shape != self._held.shape or held.max() > self.spec.max_buckets:
            message = f"not a saved state of {self.spec}, format {FORMAT}"
            raise ValueError(message)
        used = np.arange(self._buckets.shape[2]) < held[:, None]
        self._held[:] = held
        self._counts[:] = state["counts"]
        self._moments[:] = state["moments"]
        self._buckets[:] = 0.0
        self._buckets[:, adwin.TOTALS][used] = state["totals"]
        self._buckets[:, adwin.SPREADS][used] = state["spreads"]

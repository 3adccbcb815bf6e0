"""How far scores are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import check

F8 = NDArray[np.float64]


def largest_difference(ours: F8, theirs: F8) -> float:
    """Return the largest |a - b| / max(1, |b|) of two arrays [n]; where one is NaN the other must be.

    Examples
    --------
    >>> largest_difference(np.array([1.0, 4.0, np.nan]), np.array([1.0, 5.0, np.nan]))
    0.2
    """
    known = ~np.isnan(theirs)
    check(holds=np.array_equal(known, ~np.isnan(ours)), what="a score is NaN on one side only")
    apart = np.abs(ours[known] - theirs[known]) / np.maximum(1.0, np.abs(theirs[known]))
    return float(apart.max(initial=0.0))

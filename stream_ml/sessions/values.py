"""Columns of registers as Python values, by kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.schema.symbols import Symbols


def values(column: NDArray[np.float64], kind: str, symbols: Symbols) -> list[Any]:
    """Return a column as Python values: None where missing, else float, int, bool or str by `kind`."""
    if kind == "text":
        return symbols.text(column)
    missing = np.isnan(column)
    if kind == "float":
        return column.tolist() if not missing.any() else _without(column.tolist(), missing)
    whole = np.where(missing, 0.0, column)
    if kind == "bool":
        found: list[Any] = (whole != 0.0).tolist()
    else:
        found = whole.astype(np.int64).tolist()
        if kind == "category":
            found = [str(one) for one in found]
    return _without(found, missing) if missing.any() else found


def _without(found: list[Any], missing: NDArray[np.bool_]) -> list[Any]:
    for at in np.flatnonzero(missing).tolist():
        found[at] = None
    return found


def words(column: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return int64 words as the numbers or symbol codes whose bits they are."""
    return np.ascontiguousarray(column).view(np.float64)

"""What changed between two sets of named arrays: items that differ, bit by bit, and items appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Gaps between places are kept in the smallest of these that holds them all.
_GAPS = (np.uint8, np.uint16, np.uint32, np.uint64)


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed in one array, seen flat.

    Parameters
    ----------
    gaps
        Distance of each changed place from the one before; the first is its place.
    items
        What stands there now.
    tail
        Items that were appended.
    """

    gaps: NDArray[Any]
    items: NDArray[Any]
    tail: NDArray[Any]


def changes(old: Mapping[str, NDArray[Any]], new: Mapping[str, NDArray[Any]]) -> dict[str, Changed] | None:
    """Return what changed, arrays that did not left out; None where it cannot be told so.

    Examples
    --------
    >>> found = changes({"w": np.array([1.0, 2.0, 3.0])}, {"w": np.array([1.0, 5.0, 3.0, 4.0])})
    >>> found["w"].gaps.tolist(), found["w"].items.tolist(), found["w"].tail.tolist()
    ([1], [5.0], [4.0])
    >>> changes({"w": np.zeros(3)}, {"w": np.zeros(2)}) is None
    True
    """
    if old.keys() != new.keys():
        return None
    found = {}
    for name, array in new.items():
        before = old[name]
        if before.dtype != array.dtype or before.shape[1:] != array.shape[1:] or before.size > array.size:
            return None
        flat, were = array.reshape(-1), before.reshape(-1)
        at = np.flatnonzero(_bits(flat[: were.size]) != _bits(were))
        if at.size or flat.size > were.size:
            found[name] = Changed(_gaps(at), flat[at], flat[were.size :])
    return found


def apply(base: NDArray[Any], changed: Changed, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array with its changes, as another array."""
    flat = np.concatenate([base.reshape(-1), changed.tail])
    flat[np.cumsum(changed.gaps, dtype=np.int64)] = changed.items
    return flat.reshape(shape)


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def _gaps(places: NDArray[np.int64]) -> NDArray[Any]:
    gaps = np.diff(places, prepend=0)
    most = int(gaps.max()) if gaps.size else 0
    return gaps.astype(next(kind for kind in _GAPS if most <= np.iinfo(kind).max))

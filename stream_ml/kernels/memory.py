"""Memory that grows without moving: addresses are reserved, pages come when they are touched."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Linux's MAP_NORESERVE, which Python 3.11 does not name.
NORESERVE = 0x4000
#: Addresses reserved for one array, in bytes; nothing is used until it is touched.
SPACE = 1 << 36


def reserve(words: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Return a zeroed 1-D array of at least `words` items whose pages are taken only when touched.

    Parameters
    ----------
    words
        Items that are needed now; where addresses can be reserved the array is far longer.
    dtype
        Item type.
    """
    item = np.dtype(dtype).itemsize
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
        space = mmap.mmap(-1, max(SPACE, words * item), flags=flags)
    except (OSError, ValueError, AttributeError, OverflowError):
        return np.zeros(words, dtype)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            space.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass
    return np.frombuffer(space, dtype)


def grown(array: NDArray[Any], words: int) -> NDArray[Any]:
    """Return `array` with room for `words` items: itself where it is long enough, else a doubled copy."""
    if array.shape[0] >= words:
        return array
    wider = reserve(max(words, 2 * array.shape[0]), array.dtype.type)
    wider[: array.shape[0]] = array
    return wider

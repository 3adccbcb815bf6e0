"""Memory that grows without moving: addresses are reserved, pages come when they are touched; and fetching ahead."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from stream_ml.kernels.jit import COMPILED

#: Linux's MAP_NORESERVE, which Python 3.11 does not name.
NORESERVE = 0x4000
#: Addresses reserved for one array, in bytes, of 2**47 in all; nothing is used until it is touched.
SPACE = 1 << 34


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


def _prefetch(_: Any, array: Any, at: Any) -> Any:
    """Type and write out one prefetch instruction, for reading, to be kept in every cache."""

    def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        called = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(called, [builder.bitcast(place, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, at), write


def _ignore(array: NDArray[Any], at: int) -> None:
    """Do nothing: in plain Python nothing is gained by fetching ahead."""


#: prefetch(array, at): have word `at` of an array brought near, its rows one after the other, for a later turn of the
#: loop; never waits or fails.
prefetch: Callable[[Any, int], None] = cast("Any", intrinsic(_prefetch)) if COMPILED else _ignore

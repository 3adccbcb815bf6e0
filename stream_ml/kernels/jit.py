"""How kernels are compiled, where they are cached, and how they are all made ready before the first record.

Every kernel is declared with :func:`kernel`. A kernel that Python calls names its signature; :func:`warm` compiles
(or loads from the cache) exactly those and then forbids further compilation, so nothing can compile in mid-stream.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, overload

import numba

from stream_ml.kernels import cache

F = TypeVar("F", bound=Callable[..., Any])


class _Dispatcher(Protocol):
    def compile(self, signature: str) -> object: ...
    def disable_compile(self, val: bool = True) -> None: ...


#: Kernels that Python calls, with the one signature each is called with.
REGISTRY: list[tuple[_Dispatcher, str]] = []
COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")

cache.install()


@overload
def kernel(function: F) -> F: ...
@overload
def kernel(
    *, signature: str | None = None, inlined: bool = False, allocates: bool = False
) -> Callable[[F], F]: ...
def kernel(
    function: F | None = None, *, signature: str | None = None, inlined: bool = False, allocates: bool = False
) -> Any:
    """Declare a kernel: plain double arithmetic, cached, rows in order, no fast-math.

    One that Python calls lets go of the interpreter while it runs: its arrays are nobody else's meanwhile.

    Parameters
    ----------
    function
        The kernel, a free function of arrays and scalars.
    signature
        numba signature under which Python calls it, such as ``"void(f8[:,::1], i8[::1])"``; none for a kernel that
        only other kernels call.
    inlined
        Whether its body stands in place of every call of it: an array is handed over as seven or nine words, so that a
        call with many arrays costs more than most of what is called.
    allocates
        Whether it makes arrays of its own. Any other kernel counts no references: at each call of it an array's count
        would be raised and lowered atomically, 20 cycles each.
    """
    if function is None:
        return functools.partial(kernel, signature=signature, inlined=inlined, allocates=allocates)
    if not COMPILED:
        return function
    counted: Any = {"_nrt": allocates}  # no option that numba's types know
    with cache.locating():
        alone = signature is not None
        made = numba.njit(error_model="numpy", forceinline=inlined, nogil=alone, **counted)(function)
        made._cache = cache.Kept(function)  # type: ignore[no-untyped-call]  # noqa: SLF001  (as numba's cache=True does)
    if signature is not None:
        REGISTRY.append((cast("_Dispatcher", made), signature))
    return made


def warm(progress: Callable[[int, int], None] | None = None) -> int:
    """Compile, or load from the cache, every registered kernel and forbid compilation afterwards.

    Parameters
    ----------
    progress
        Called with (kernels ready, kernels in all) after each.

    Returns
    -------
    int
        How many kernels are ready.
    """
    left = REGISTRY[_Ready.kernels :]
    for dispatcher, signature in left:
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        _Ready.kernels += 1
        if progress is not None:
            progress(_Ready.kernels, len(REGISTRY))
    return _Ready.kernels


class _Ready:
    kernels = 0

"""Makes the process ready for a stream: kernels compiled, the collector kept off what stays."""

from __future__ import annotations

import gc

import stream_ml.sessions.session  # noqa: F401 - so that every kernel is known
from stream_ml.cli.console import progress_bar
from stream_ml.kernels.jit import warm

_YOUNG = 20_000  # a turn makes some ten thousand objects, and nearly all die with it

__all__ = ["settle"]


def settle() -> None:
    """Compile the kernels that are not in the cache yet, with progress, and freeze what is loaded.

    Reading rows makes many tuples; without this each collection would walk everything that the libraries hold, which
    doubles the time that a row costs.
    """
    with progress_bar("prepare kernels (once)") as bar:
        warm(bar.update)
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
    gc.enable()

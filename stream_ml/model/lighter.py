"""Loads river without scipy.stats, which takes a third of the time that a start takes and is rarely used.

`river.linear_model` and `river.preprocessing` load all of river's trees, detectors and distributions, and some of these
want a few names of scipy.stats. While they are loaded a stand-in gives names that are looked up at their first use;
everybody else, and every later import, gets the real module. Where river or scipy.stats was imported before, nothing is
done; where river asks for what a stand-in cannot give, it is loaded as it is.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_HEAVY = "scipy.stats"
_WANTED = ("river.linear_model", "river.preprocessing")


class Later:
    """A name of a module that is imported at its first use.

    Examples
    --------
    >>> root = Later("math", "sqrt")
    >>> root(9.0)
    3.0
    """

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Ask the real one."""
        return getattr(self._real(), name)


class _StandIn(ModuleType):
    """Gives every name, to be looked up later."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self.__name__, name)


def load_river() -> None:
    """Import what pipelines use most of river, without scipy.stats."""
    if _HEAVY in sys.modules or any(name in sys.modules for name in _WANTED):
        return
    before = set(sys.modules)
    stand_in = sys.modules[_HEAVY] = _StandIn(_HEAVY)
    try:
        for name in _WANTED:
            importlib.import_module(name)
    except Exception:
        for name in [name for name in sys.modules if name.startswith("river.") and name not in before]:
            del sys.modules[name]
    finally:
        if sys.modules.get(_HEAVY) is stand_in:
            del sys.modules[_HEAVY]

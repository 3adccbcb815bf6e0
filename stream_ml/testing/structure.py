"""An object, whatever it is made of, as plain records: two copies that behave alike give equal ones."""

from __future__ import annotations

from typing import Any

import numpy as np

_ATOM = (str, int, float, bool, bytes, type(None))


def structure(root: Any) -> Any:
    """Return what an object is made of: lists, dicts in order, sets sorted, other objects by class and contents.

    An object met again is named by the number of its first place, so that shared parts stay shared and circles end.

    Parameters
    ----------
    root
        Anything that can be copied.

    Examples
    --------
    >>> structure({"a": {3, 1}, "b": [1.5, None]})
    {'dict': [['a', {'set': [1, 3]}], ['b', [1.5, None]]]}
    """
    return _Walk().of(root)


class _Walk:
    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []

    def of(self, item: Any) -> Any:
        if isinstance(item, _ATOM):
            return repr(item) if isinstance(item, float) and item != item else item  # noqa: PLR0124  (NaN)
        if isinstance(item, tuple):
            return [self.of(one) for one in item]
        if isinstance(item, np.ndarray | np.generic):
            return {"array": str(item.dtype), "shape": list(item.shape), "values": item.tolist()}
        if isinstance(item, type) or (callable(item) and hasattr(item, "__qualname__")):
            return f"{getattr(item, '__module__', '')}.{item.__qualname__}"
        if id(item) in self._seen:
            return {"again": self._seen[id(item)]}
        self._seen[id(item)] = len(self._seen)
        self._alive.append(item)
        return self._made(item)

    def _made(self, item: Any) -> Any:
        if type(item) is list:
            return [self.of(one) for one in item]
        if isinstance(item, set | frozenset):
            return {"set": sorted((self.of(one) for one in item), key=repr)}
        if type(item) is dict:
            return {"dict": [[self.of(key), self.of(value)] for key, value in item.items()]}
        _, arguments, state, members, pairs, *_ = [*item.__reduce_ex__(2), None, None, None][:5]
        named = f"{type(item).__module__}.{type(item).__qualname__}"
        return {
            named: [
                self.of(arguments),
                self.of(state),
                [self.of(one) for one in members or ()],
                [[self.of(key), self.of(value)] for key, value in pairs or ()],
            ]
        }

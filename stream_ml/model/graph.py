"""The objects that a river estimator is made of, however they are nested."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from river import base, compose

Atom = (str, bytes, int, float, bool, complex, type(None))


def objects(root: Any) -> Iterator[Any]:
    """Yield every river object, function and class inside `root`, itself first, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Atom) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, types.FunctionType | type):
            yield item
        elif isinstance(item, base.Base) or type(item).__module__.startswith("river."):
            yield item  # an ensemble is a list too: its models are among its attributes
            waiting.extend(vars(item).values() if hasattr(item, "__dict__") else ())
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, Sequence | Set):
            waiting.extend(item)


def last_step(estimator: Any) -> Any:
    """Return the estimator that answers: the last step of a pipeline, or the estimator itself."""
    while isinstance(estimator, compose.Pipeline):
        estimator = list(estimator.steps.values())[-1]
    return estimator


def short_name(item: Any) -> str:
    """Return the name that a user knows an object by, such as ``anomaly.HalfSpaceTrees``."""
    module = type(item).__module__.split(".")
    return f"{module[1]}.{type(item).__name__}" if module[0] == "river" and len(module) > 1 else type(item).__name__

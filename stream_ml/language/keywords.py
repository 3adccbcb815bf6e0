"""Calls whose keywords are checked with a cure, where Python alone would say TypeError."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

from stream_ml.errors import Place
from stream_ml.language.places import joined, nearest, refuse, shown

P = ParamSpec("P")
R = TypeVar("R")


def check_names(what: str, given: Iterable[str], known: Iterable[str], place: Place | None = None) -> None:
    """Refuse the first given keyword that is not a known one."""
    names = list(known)
    for name in given:
        if name not in names:
            near = nearest(name, names)
            cure = f"Did you mean {near}=?" if near else f"The keywords are {joined(names)}"
            refuse(f"{what} has no keyword {name}=", cure, place)


def checked(what: str, needed: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a method whose unknown and missing keywords are refused with a cure.

    Parameters
    ----------
    what
        How the call is named in the error; `{self!r}` stands for the object.
    needed
        Each required parameter, and what to write when it is missing; names the method does not have are skipped.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        parameters = list(inspect.signature(method).parameters.values())[1:]
        known = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        leading = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        bounded = not any(one.kind is one.VAR_POSITIONAL for one in parameters)

        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            name = what.format(self=args[0])
            check_names(name, kwargs, known + leading)
            given = [*leading[: len(args) - 1], *kwargs]
            if bounded and len(args) - 1 > len(leading):
                refuse(
                    f"{name} takes no {shown(args[len(leading) + 1])} without a keyword",
                    f"The keywords are {joined(known)}",
                )
            for word, cure in needed.items():
                if word in known + leading and word not in given:
                    refuse(f"{name} has no {word}=" if word in known else f"{name} has no {word}", cure)
            return method(*args, **kwargs)

        return call

    return decorate

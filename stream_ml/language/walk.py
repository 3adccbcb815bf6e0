"""Walks over expression trees: which columns, streams and windows they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stream_ml.language.expr import Column, Expr
from stream_ml.language.specs import LabelSpec, TableSpec, spec_of

WINDOWS = ("over", "before")


def parts(*roots: Any) -> Iterator[Expr]:
    """Visit every expression once, each before its arguments, outside of windows."""
    stack = [root for root in reversed(roots) if isinstance(root, Expr)]
    seen: set[int] = set()
    while stack:
        expr = stack.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        yield expr
        if expr.op not in WINDOWS:
            stack.extend(arg for arg in reversed(expr.args) if isinstance(arg, Expr))


def windows(*roots: Any) -> list[Expr]:
    """List the windows of expressions, in the order written."""
    return [expr for expr in parts(*roots) if expr.op in WINDOWS]


def columns(*roots: Any) -> list[Column]:
    """List the columns that rows are read from, those of tables under a look-up left out."""
    looked_up = {id(expr.args[0]) for expr in parts(*roots) if expr.op == "lookup"}
    return [expr for expr in parts(*roots) if isinstance(expr, Column) and id(expr) not in looked_up]


def lookups(*roots: Any) -> list[Expr]:
    """List the look-ups in tables."""
    return [expr for expr in parts(*roots) if expr.op == "lookup"]


def streams(*roots: Any) -> list[type[Any]]:
    """List the classes whose columns are read, each once."""
    return list(dict.fromkeys(column.args[0] for column in columns(*roots)))


def as_tuple(key: Any) -> tuple[Any, ...]:
    """Return the parts of a key: none for None, one for a plain expression."""
    if key is None:
        return ()
    return key if isinstance(key, tuple) else (key,)


def is_label(cls: type[Any]) -> bool:
    """Say whether a class is a declared Label."""
    return isinstance(spec_of(cls), LabelSpec)


def is_table(cls: type[Any]) -> bool:
    """Say whether a class is a declared Table."""
    return isinstance(spec_of(cls), TableSpec)


def event_of(cls: type[Any]) -> type[Any]:
    """Return the event class that a stream belongs to: itself, or a label's."""
    spec = spec_of(cls)
    return spec.of if isinstance(spec, LabelSpec) else cls

"""Where in the user's file something was written, and refusals that say so."""

from __future__ import annotations

import ast
import difflib
import linecache
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pydantic

from stream_ml.errors import DeclarationError, Place

_PYDANTIC = str(Path(pydantic.__file__).parent)
_INSIDE = (_PYDANTIC, "<frozen ")
_LANGUAGE = __name__.rpartition(".")[0]


class UnknownAttribute(DeclarationError, AttributeError):
    """A column or method that is not there; also an AttributeError, as `hasattr` expects."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause, _stopped(cure), here())


def here() -> Place | None:
    """Find the user's line: the innermost frame outside this package's language and pydantic."""
    frame = sys._getframe(1)  # noqa: SLF001 (its name, not its meaning)
    while frame.f_globals.get("__name__", "").startswith(_LANGUAGE) or frame.f_code.co_filename.startswith(_INSIDE):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def asked_by_pydantic(depth: int) -> bool:
    """Say whether the caller `depth` frames up is pydantic, which must not see columns as defaults."""
    return sys._getframe(depth + 1).f_code.co_filename.startswith(_PYDANTIC)  # noqa: SLF001


def refusal(cause: str, cure: str, place: Place | None = None) -> DeclarationError:
    """Build the refusal of a declaration, at `place` or else at the user's present line."""
    return DeclarationError(cause, _stopped(cure), place or here())


def refuse(cause: str, cure: str, place: Place | None = None) -> NoReturn:
    """Refuse a declaration, at `place` or else at the user's present line."""
    raise refusal(cause, cure, place)


def _stopped(cure: str) -> str:
    return cure if cure.endswith((".", "?")) else f"{cure}."


def shown(value: object) -> str:
    """Write any value for a message, the same in every run: no addresses, no paths."""
    if isinstance(value, type):
        return value.__name__
    text = repr(value)
    if " at 0x" in text or isinstance(value, ModuleType):
        name = getattr(value, "__name__", "")
        return f"the {type(value).__name__} {name}" if name else f"a {type(value).__name__}"
    return text


def nearest(name: object, options: Iterable[str]) -> str | None:
    """Return the option that looks most like `name`, if one does."""
    near = difflib.get_close_matches(str(name), list(options), 1)
    return near[0] if near else None


def joined(names: Iterable[str]) -> str:
    """Write names for a message: `a, b, c`."""
    return ", ".join(names)


def _class_node(place: Place) -> ast.ClassDef | None:
    try:
        tree = ast.parse("".join(linecache.getlines(place.file)))
    except SyntaxError:
        return None
    holds = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.lineno <= place.line <= (node.end_lineno or node.lineno)
    ]
    return max(holds, key=lambda node: node.lineno, default=None)


def attribute_place(where: Place | None, name: str) -> Place | None:
    """Find the line that assigns or annotates `name` in the class that stands at `where`."""
    node = None if where is None else _class_node(where)
    if where is None or node is None:
        return where
    for statement in node.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return Place(where.file, statement.lineno)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            return Place(where.file, statement.lineno)
    return where


def keyword_place(where: Place | None, keyword: str) -> Place | None:
    """Find the line of a class keyword of the class that stands at `where`."""
    node = None if where is None else _class_node(where)
    if where is not None and node is not None:
        for word in node.keywords:
            if word.arg == keyword:
                return Place(where.file, word.value.lineno)
    return where

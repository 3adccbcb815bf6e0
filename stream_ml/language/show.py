"""Expressions written back as their user would write them."""

from __future__ import annotations

from typing import Any

from stream_ml.language.spans import TILES

PRECEDENCE = {
    "|": 1,
    "&": 2,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "==": 3,
    "!=": 3,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "neg": 7,
    "not": 7,
    "**": 8,
}
_PREFIX = {"neg": "-", "not": "~"}
_ZONED = {"hour", "weekday", "month", "minute_of_day"}
_COMPARED = 3


def _operand(value: Any, level: int) -> str:
    own = PRECEDENCE.get(getattr(value, "op", ""), 9) if hasattr(type(value), "op") else 9
    text = repr(value)
    return f"({text})" if own < level else text


def show(op: str, args: tuple[Any, ...]) -> str:
    """Write the expression `op(args)`: operators infix with the brackets they need, functions as `fn.op(...)`."""
    if op == "column":
        return f"{args[0].__name__}.{args[1]}"
    if op in _PREFIX:
        return _PREFIX[op] + _operand(args[0], PRECEDENCE[op])
    if op in PRECEDENCE:
        level = PRECEDENCE[op]
        strict = level == _COMPARED
        left = _operand(args[0], level + 1 if strict or op == "**" else level)
        return f"{left} {op} {_operand(args[1], level if op == '**' else level + 1)}"
    if op in ("over", "before"):
        return _window(op, args)
    if op in ("cyclic_sin", "cyclic_cos"):
        return f"fn.cyclic({args[0]!r}, {args[1]!r})[{op[-3:]!r}]"
    if op in _ZONED:
        return f"fn.{op}({args[0]!r})" if args[1] == "UTC" else f"fn.{op}({args[0]!r}, tz={args[1]!r})"
    if op == "lookup" and len(args) > 2:  # noqa: PLR2004 (the column and more than one key)
        return f"fn.lookup({args[0]!r}, {_keys(args[1:])})"
    if op == "when" and args[2] is None:
        args = args[:2]
    return f"fn.{op}({', '.join(map(repr, args))})"


def _keys(key: Any) -> str:
    return f"({', '.join(map(repr, key))})" if isinstance(key, tuple) and len(key) > 1 else repr(key)


def _window(word: str, args: tuple[Any, ...]) -> str:
    aggregate, spans, by, at, offset, tiles, exact = args
    words = [repr(span) for span in spans]
    words.append(f"by={_keys(by)}")
    if at is not None:
        words.append(f"at={_keys(at)}")
    if offset != "0s":
        words.append(f"offset={offset!r}")
    if exact:
        words.append("exact=True")
    elif tiles != TILES:
        words.append(f"tiles={tiles}")
    return f"{aggregate!r}.{word}({', '.join(words)})"

"""Expressions written back as their user would write them."""

from __future__ import annotations

from typing import Any

from stream_ml.language.spans import TILES

PRECEDENCE = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 1),
    "|": 2,
    "&": 3,
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/"), 5),
    **dict.fromkeys(("neg", "not"), 6),
    "**": 7,
}
_PREFIX = {"neg": "-", "not": "~"}
_ZONED = {"hour", "weekday", "month", "minute_of_day"}
_COMPARED = 1


def _operand(value: Any, level: int) -> str:
    own = PRECEDENCE.get(value.op, 9) if hasattr(type(value), "op") else 9
    text = repr(value)
    return f"({text})" if own < level else text


def show(op: str, args: tuple[Any, ...]) -> str:
    """Write the expression `op(args)`: operators infix with the brackets they need, functions as `fn.op(...)`."""
    if op == "column":
        return f"{args[0].__name__}.{args[1]}"
    if op in PRECEDENCE:
        return _operator(op, args)
    if op in ("over", "before"):
        return _window(op, args)
    return _call(op, args)


def _operator(op: str, args: tuple[Any, ...]) -> str:
    level = PRECEDENCE[op]
    if op in _PREFIX:
        return _PREFIX[op] + _operand(args[0], level)
    left = _operand(args[0], level + 1 if level == _COMPARED or op == "**" else level)
    return f"{left} {op} {_operand(args[1], level if op == '**' else level + 1)}"


def _call(op: str, args: tuple[Any, ...]) -> str:
    given = [repr(arg) for arg in args]
    if op in ("cyclic_sin", "cyclic_cos"):
        return f"fn.cyclic({', '.join(given)})[{op[-3:]!r}]"
    if op in _ZONED:
        given[1:] = [] if args[1] == "UTC" else [f"tz={args[1]!r}"]
    elif op == "lookup":
        given[1:] = [_keys(args[1:])]
    elif op == "when" and args[2] is None:
        given.pop()
    return f"fn.{op}({', '.join(given)})"


def _keys(key: Any) -> str:
    if not isinstance(key, tuple):
        return repr(key)
    return repr(key[0]) if len(key) == 1 else f"({', '.join(map(repr, key))})"


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

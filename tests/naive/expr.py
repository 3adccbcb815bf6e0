"""Row expressions, evaluated one value at a time.

A value is a float (numbers, truths as 0.0 and 1.0, times in epoch ms, spans in ms, number categories), a str, or None:
missing. Every operation is done in double arithmetic; a result that is not finite is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import xxhash

from stream_ml.kernels import math as plain_math
from stream_ml.language.expr import Expr
from stream_ml.language.kinds import Kind, kind

from .windows import Key, Value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
WORD = (1 << 64) - 1


class Scope(Protocol):
    """What an expression can see while it is evaluated."""

    def column(self, cls: type, name: str) -> Value: ...

    def lookup(self, column: Expr, keys: tuple[Expr, ...]) -> Value: ...

    def window(self, expr: Expr) -> Value: ...


def evaluate(e: Any, scope: Scope) -> Value:
    """Return the value of an expression or a constant."""
    if not isinstance(e, Expr):
        return plain(e)
    if e.op == "column":
        return scope.column(e.args[0], e.args[1])
    if e.op in ("over", "before"):
        return scope.window(e)
    if e.op == "lookup":
        return scope.lookup(e.args[0], e.args[1:])
    if e.op == "hashed":
        h = hash_of(e.args[0], scope)
        return None if h is None else float(h % int(e.args[1]))
    if e.op in CHOICES:
        return CHOICES[e.op](e, scope)
    args = [evaluate(a, scope) for a in e.args]
    if e.op in ("&", "|"):
        return three_valued(e.op, args[0], args[1])
    if e.op == "is_missing":
        return truth(args[0] is None)
    if e.op == "fill":
        return args[1] if args[0] is None else args[0]
    if args[0] is None or (e.op in TAKES_TWO and args[1] is None):
        return None
    result = STRICT[e.op](*args)
    return result if not isinstance(result, float) or math.isfinite(result) else None


def key_of(by: Any, scope: Scope) -> Key | None:
    """Return a window's or table's key: () where there is none, None where any part of it is missing."""
    if by is None:
        return ()
    parts: list[float | str] = []
    for e in by if isinstance(by, tuple) else (by,):
        part = evaluate(e, scope)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def plain(x: Any) -> Value:
    """Return a Python value as a value of the language."""
    if isinstance(x, Enum):
        x = x.value
    if x is None or isinstance(x, str):
        return x
    if isinstance(x, timedelta):
        return float(x // MILLISECOND)
    if isinstance(x, datetime):
        return float(epoch_ms(x))
    if isinstance(x, date):
        return float(epoch_ms(datetime(x.year, x.month, x.day, tzinfo=UTC)))
    return float(x)


def epoch_ms(t: datetime) -> int:
    """Return whole milliseconds since 1970, rounded down; without a zone the time is UTC."""
    return ((t if t.tzinfo is not None else t.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def truth(x: bool) -> float:
    return 1.0 if x else 0.0


def three_valued(op: str, a: Value, b: Value) -> Value:
    """Return a & b: false if a side is false, else missing if a side is missing; a | b: likewise with true."""
    decisive = op == "|"
    if any(x is not None and bool(x) == decisive for x in (a, b)):
        return truth(decisive)
    return None if a is None or b is None else truth(not decisive)


def text_of(e: Any, x: float | str) -> str:
    """Return what a category is called: text as it is, True or False, a number without a decimal point."""
    if isinstance(x, str):
        return x
    return str(bool(x)) if kind(e) is Kind.BOOL else str(int(x))


# choice: arguments are not all evaluated, or missing ones do not decide alone


def _when(e: Expr, scope: Scope) -> Value:
    """Return the one where the condition is true, the other where it is false, missing where it is missing."""
    condition = evaluate(e.args[0], scope)
    return None if condition is None else evaluate(e.args[1] if condition else e.args[2], scope)


def _isin(e: Expr, scope: Scope) -> Value:
    x = evaluate(e.args[0], scope)
    return None if x is None else truth(any(x == plain(a) for a in e.args[1:]))


def _cross(e: Expr, scope: Scope) -> Value:
    parts = [evaluate(a, scope) for a in e.args]
    texts = [text_of(a, part) for a, part in zip(e.args, parts, strict=True) if part is not None]
    return "|".join(texts) if len(texts) == len(parts) else None


CHOICES: dict[str, Callable[[Expr, Scope], Value]] = {"when": _when, "isin": _isin, "cross": _cross}

# hashes


def splitmix64(z: int) -> int:
    """Return the finaliser of splitmix64 (Steele, Lea, Flood 2014) of a 64-bit word."""
    z &= WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def hash_of(e: Any, scope: Scope) -> int | None:
    """Return the hash of a category: text xxh64 of its UTF-8, a number splitmix64, a cross its parts folded.

    A cross starts at h = 0 and takes h = splitmix64(h ^ hash of the part) for each; a missing part makes it missing.
    """
    if isinstance(e, Expr) and e.op == "cross":
        h = 0
        for part in e.args:
            other = hash_of(part, scope)
            if other is None:
                return None
            h = splitmix64(h ^ other)
        return h
    x = evaluate(e, scope)
    if x is None:
        return None
    return xxhash.xxh64_intdigest(x.encode()) if isinstance(x, str) else splitmix64(int(x))


# strict operations: a missing argument makes them missing


def _divide(a: float, b: float) -> float:
    return a / b if b != 0.0 else math.nan


def _clip(x: float, low: float | None, high: float | None) -> float:
    """Return low where x < low, high where x > high, else x."""
    if low is not None and x < low:
        return low
    return high if high is not None and x > high else x


def _round(x: float, digits: float | None = 0.0) -> float:
    """Return x * 10^d rounded half to even, / 10^d; zero is positive; past 2^51 x as it is."""
    power = 10.0 ** int(digits or 0.0)
    scaled = x * power
    if abs(scaled) >= 2.0**51:
        return x
    return float(round(scaled)) / power


def _local(x: float, tz: Any) -> datetime:
    return (EPOCH + int(x) * MILLISECOND).astimezone(ZoneInfo(tz))


def _bins(x: float, *edges: float) -> float:
    """Return how many edges are <= x."""
    return float(sum(edge <= x for edge in edges))


def _category(x: float | str) -> float | str:
    """Return text as it is; of a number its whole part."""
    return x if isinstance(x, str) else float(int(x))


def _unary(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: float(function(float(x)))


TAKES_TWO = {"+", "-", "*", "/", "**", "<", "<=", ">", ">=", "==", "!="}

STRICT: dict[str, Callable[..., Value]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "**": lambda a, b: float(plain_math.pow(a, b)),
    "<": lambda a, b: truth(a < b),
    "<=": lambda a, b: truth(a <= b),
    ">": lambda a, b: truth(a > b),
    ">=": lambda a, b: truth(a >= b),
    "==": lambda a, b: truth(a == b),
    "!=": lambda a, b: truth(a != b),
    "neg": lambda x: -x,
    "not": lambda x: truth(not x),
    "abs": abs,
    "log1p": _unary(plain_math.log1p),
    "log": _unary(plain_math.log),
    "exp": _unary(plain_math.exp),
    "sin": _unary(plain_math.sin),
    "cos": _unary(plain_math.cos),
    "sqrt": lambda x: math.sqrt(x) if x >= 0.0 else math.nan,
    # the angle is ((2 pi) * x) / period
    "cyclic_sin": lambda x, period: float(plain_math.sin(2.0 * math.pi * x / period)),
    "cyclic_cos": lambda x, period: float(plain_math.cos(2.0 * math.pi * x / period)),
    "clip": _clip,
    "round": _round,
    "seconds": lambda x: x / 1000.0,
    "hour": lambda x, tz: float(_local(x, tz).hour),
    "weekday": lambda x, tz: float(_local(x, tz).weekday()),
    "month": lambda x, tz: float(_local(x, tz).month),
    "minute_of_day": lambda x, tz: float(_local(x, tz).hour * 60 + _local(x, tz).minute),
    "lower": lambda x: x.lower(),
    "length": lambda x: float(len(x)),
    "category": _category,
    "bins": _bins,
}


def walk(e: Any) -> Iterable[Expr]:
    """Yield an expression and all within it, windows' keys and values apart."""
    if isinstance(e, Expr):
        yield e
        if e.op not in ("over", "before", "column"):
            for a in e.args:
                yield from walk(a)

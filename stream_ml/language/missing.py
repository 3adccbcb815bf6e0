"""Whether an expression's value may be missing, as far as its declaration tells."""

from __future__ import annotations

from typing import Any

from stream_ml.language.expr import Column, Expr
from stream_ml.language.fields import may_be_none, never_negative
from stream_ml.language.specs import LabelSpec, spec_of
from stream_ml.language.walk import WINDOWS, as_tuple

_ALWAYS = frozenset({"log", "exp", "lookup"})
_POSITIVE_ARGS = frozenset({"log1p", "sqrt"})
_NEVER_NEGATIVE = frozenset(
    {"abs", "sqrt", "exp", "length", "hour", "weekday", "month", "minute_of_day", "==", "!=", "<", "<=", ">", ">="}
    | {"&", "|", "not", "isin", "is_missing", "bins", "hashed"}
)


def may_be_missing(value: Any) -> bool:
    """Say whether a value may be missing in some row; overflow of ordinary arithmetic apart.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> may_be_missing(Payment.amount), may_be_missing(Payment.country), may_be_missing(1 / Payment.amount)
    (False, True, True)
    """
    if not isinstance(value, Expr):
        return value is None
    op, args = value.op, value.args
    if isinstance(value, Column):
        return _column(*args)
    if op in _ALWAYS:
        return True
    if op in ("is_missing", "fill"):
        return False
    if op in WINDOWS:
        aggregate, _, by, at, *_ = args
        keys = as_tuple(by if at is None else at)
        return aggregate.kind not in ("count", "sum") or any(may_be_missing(key) for key in keys)
    return _risky(value) or any(may_be_missing(arg) for arg in args)


def _risky(value: Expr) -> bool:
    op, args = value.op, value.args
    if op == "/":
        return isinstance(args[1], Expr) or not args[1]
    if op == "**":
        return not (isinstance(args[1], int) and args[1] >= 0)
    return op in _POSITIVE_ARGS and not is_never_negative(args[0])


def _column(cls: type[Any], field: str) -> bool:
    spec = spec_of(cls)
    silent = isinstance(spec, LabelSpec) and spec.silence is not None and field not in spec.silence
    return (silent and cls.model_fields[field].is_required()) or may_be_none(cls, field)


def is_never_negative(value: Any) -> bool:
    """Say whether a value is a number from 0 wherever it is there."""
    if not isinstance(value, Expr):
        return isinstance(value, int | float) and value >= 0
    op, args = value.op, value.args
    if isinstance(value, Column):
        return never_negative(*args)
    if op in WINDOWS:
        counted = args[0].kind in ("count", "since_last", "var", "std")
        return counted or is_never_negative(args[0].value)
    if op in ("+", "*", "/"):
        return all(is_never_negative(arg) for arg in args)
    if op in ("fill", "when", "round", "log1p", "category", "clip"):
        rest = args[1:] if op == "when" else args[:2] if op == "fill" else args[:1]
        kept = all(arg is None or is_never_negative(arg) for arg in rest)
        return kept or (op == "clip" and args[1] >= 0)
    return op in _NEVER_NEGATIVE

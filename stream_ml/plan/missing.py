"""Which features may be missing in a record, worked out from their expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_ml.language.expr import Column, Expr
from stream_ml.language.walk import as_tuple
from stream_ml.schema import fields

#: Missing only where an argument is.
_CARRIES = {
    "+", "-", "*", "<", "<=", ">", ">=", "==", "!=", "&", "|", "neg", "not", "exp", "sin", "cos", "abs", "seconds",
    "lower", "length", "category", "clip", "round", "hour", "weekday", "month", "minute_of_day", "isin", "bins",
    "cross", "hashed", "cyclic_sin", "cyclic_cos",
}  # fmt: skip
_NOT_NEGATIVE = {"exp", "abs", "length", "hour", "weekday", "month", "minute_of_day"}
_COUNTED = {"count", "sum"}


def may_be_missing(value: Any) -> bool:
    """Return whether a value may be missing; where it cannot be told, it may.

    Overflow apart: the result of `fn.exp` and of products is missing beyond 1.8e308.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> may_be_missing(Payment.amount), may_be_missing(Payment.country), may_be_missing(fn.fill(Payment.country, "?"))
    (False, True, False)
    >>> may_be_missing(fn.count(Payment).over("1h", by=Payment.card)["1h"])
    False
    >>> may_be_missing(Payment.amount / fn.mean(Payment.amount).over(20, by=Payment.card)[20])
    True
    """
    if not isinstance(value, Expr):
        return value is None
    if isinstance(value, Column):
        return _nullable(value)
    if value.op in ("over", "before"):
        return _window(value)
    rule = _RULES.get(value.op)
    if rule is not None:
        return rule(value)
    return value.op not in _CARRIES or _any(value.args)


def _any(args: Any) -> bool:
    return any(may_be_missing(arg) for arg in args)


def _nullable(column: Column) -> bool:
    owner, name = column.args
    return fields.read(owner).fields[name].nullable


def _window(expr: Expr) -> bool:
    """Return False for a count or sum whose key is there, True for every other window."""
    aggregate, _, by, at, *_ = expr.args
    return aggregate.kind not in _COUNTED or _any(as_tuple(by if at is None else at)) or _any(as_tuple(by))


def _divided(expr: Expr) -> bool:
    over, under = expr.args
    certain = isinstance(under, int | float) and under != 0
    return not certain or may_be_missing(over)


def _rooted(expr: Expr) -> bool:
    return not _not_negative(expr.args[0]) or may_be_missing(expr.args[0])


def _powered(expr: Expr) -> bool:
    base, exponent = expr.args
    whole = isinstance(exponent, int) and exponent >= 0
    return not whole or may_be_missing(base)


def _filled(expr: Expr) -> bool:
    return _any(expr.args) and may_be_missing(expr.args[1])


def _never(_: Expr) -> bool:
    return False


def _chosen(expr: Expr) -> bool:
    return _any(expr.args)


_RULES: dict[str, Callable[[Expr], bool]] = {
    "/": _divided, "sqrt": _rooted, "log1p": _rooted, "**": _powered, "fill": _filled, "is_missing": _never,
    "when": _chosen,
}  # fmt: skip


def _not_negative(value: Any) -> bool:
    """Return whether a value is certainly not below 0, where it is there."""
    if not isinstance(value, Expr):
        return isinstance(value, int | float) and value >= 0
    if isinstance(value, Column):
        owner, name = value.args
        bounds = fields.read(owner).fields[name].schema
        while bounds["type"] in ("nullable", "default"):
            bounds = bounds["schema"]
        least = bounds.get("ge", bounds.get("gt"))
        return isinstance(least, int | float) and least >= 0
    if value.op in ("over", "before"):
        aggregate = value.args[0]
        plain = aggregate.kind in ("count", "std", "var", "since_last")
        return plain or (aggregate.value is not None and _not_negative(aggregate.value))
    if value.op in ("+", "*", "/"):
        return all(_not_negative(arg) for arg in value.args)
    if value.op in ("fill", "log1p", "sqrt", "seconds", "round"):
        return all(_not_negative(arg) for arg in value.args)
    return value.op in _NOT_NEGATIVE

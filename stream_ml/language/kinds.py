"""The kind of every expression, and refusals of what has none: the mean of a text, an order of texts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, NoReturn

from pydantic import BaseModel

from stream_ml.language.expr import Column, Expr
from stream_ml.language.fields import field_type, listed, members
from stream_ml.language.places import nearest, refuse
from stream_ml.language.specs import spec_of
from stream_ml.language.walk import as_tuple


class Kind(Enum):
    """What a value is, and so what may be done with it."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    TEXT = "text"
    TIME = "time"
    SPAN = "span"
    CATEGORY = "category"


NUMBERS = (Kind.FLOAT, Kind.INT, Kind.BOOL)
WORDS = (Kind.TEXT, Kind.CATEGORY, Kind.INT, Kind.BOOL)
_PLAIN = {float: Kind.FLOAT, int: Kind.INT, bool: Kind.BOOL, str: Kind.TEXT, datetime: Kind.TIME}
_NAMES = {
    Kind.FLOAT: "a number",
    Kind.INT: "a whole number",
    Kind.BOOL: "a truth",
    Kind.TEXT: "text",
    Kind.TIME: "a time",
    Kind.SPAN: "a span of time",
    Kind.CATEGORY: "a category",
}
_ORDER = ("<", "<=", ">", ">=")
_MEANS = ("sum", "mean", "min", "max", "var", "std")


def column_kind(cls: type[BaseModel], field: str) -> Kind:
    """Return the kind of a field as it was declared."""
    return _PLAIN[field_type(cls, field)]


def kind(value: Any) -> Kind:
    """Return the kind of an expression or constant; refuse an expression that has none.

    Examples
    --------
    >>> from stream_ml.language.example import Payment
    >>> kind(Payment.amount > 500), kind(Payment.at - Payment.at)
    (<Kind.BOOL: 'bool'>, <Kind.SPAN: 'span'>)
    """
    if not isinstance(value, Expr):
        return _PLAIN[type(value)] if type(value) in _PLAIN else _constant_kind(value)
    if value.known is None:
        value.known = column_kind(*value.args) if isinstance(value, Column) else _RULES[value.op](value)
    found: Kind = value.known
    return found


def _constant_kind(value: Any) -> Kind:
    for plain in (bool, str, int, float, datetime):
        if isinstance(value, plain):
            return _PLAIN[plain]
    return refuse(f"{value!r} is not a value of a row", "Write a number, a text, a truth or a datetime")


def kind_name(value: Any) -> str:
    """Write the kind of a value for a message: `a whole number`."""
    return _NAMES[kind(value)]


def name_of(value: Any) -> str:
    """Write an argument with its kind for a message: `Payment.card (text)`."""
    return f"{value!r} ({kind_name(value)})"


def _bad(expr: Expr, value: Any, cure: str) -> NoReturn:
    given = kind(value)
    if given is Kind.SPAN:
        cure = f"Make it a number: fn.seconds({value!r})"
    refuse(f"{expr!r} does not go with {name_of(value)}", cure, expr.place)


def _number(expr: Expr, value: Any) -> None:
    if value is None:
        refuse(f"{expr!r} has None in it", "Leave it out; fn.is_missing(x) asks for what is missing", expr.place)
    given = kind(value)
    if given in NUMBERS:
        return
    if given is Kind.TEXT:
        cure = (
            "Text goes with == and fn.isin, fn.cross, fn.hashed, fn.length; a number must be declared as float or int"
        )
    elif given is Kind.CATEGORY:
        cure = "Use the number itself, without fn.category, fn.bins or fn.hashed"
    else:
        cure = "Make it a number: fn.seconds(a - b) or fn.hour(x)"
    _bad(expr, value, cure)


def _all_numbers(expr: Expr) -> Kind:
    for value in expr.args:
        _number(expr, value)
    return Kind.FLOAT


def _first_number(expr: Expr) -> Kind:
    _number(expr, expr.args[0])
    return Kind.FLOAT


def _minus(expr: Expr) -> Kind:
    if None not in [None if value is None else 0 for value in expr.args] and all(
        kind(value) is Kind.TIME for value in expr.args
    ):
        return Kind.SPAN
    return _all_numbers(expr)


def _order(expr: Expr) -> Kind:
    left, right = expr.args
    if left is not None and right is not None and kind(left) is kind(right) and kind(left) in (Kind.TIME, Kind.SPAN):
        return Kind.BOOL
    for value in expr.args:
        if value is not None and kind(value) is Kind.TEXT:
            _bad(expr, value, "Text has no order here: use == or fn.isin; a time must be declared as datetime")
    _all_numbers(expr)
    return Kind.BOOL


def _equal(expr: Expr) -> Kind:
    left, right = expr.args
    if left is None or right is None:
        known = right if left is None else left
        no = "" if expr.op == "==" else "~"
        refuse(f"{expr!r} compares with None", f"Write {no}fn.is_missing({known!r})", expr.place)
    _same(expr, left, right)
    return Kind.BOOL


def _same(expr: Expr, left: Any, right: Any) -> None:
    a, b = kind(left), kind(right)
    category = {a, b} <= {Kind.CATEGORY, Kind.INT}
    if a is not b and not (a in NUMBERS and b in NUMBERS) and not category:
        refuse(
            f"{expr!r} compares {name_of(left)} with {name_of(right)}",
            "Both sides must be of one kind: see how the field is declared",
            expr.place,
        )
    for column, value in ((left, right), (right, left)):
        if isinstance(column, Column) and not isinstance(value, Expr):
            known = members(*column.args)
            if known is not None and value not in known:
                near = nearest(value, [str(one) for one in known])
                cure = f"Did you mean {near!r}?" if near else f"It is one of {listed(known)}"
                refuse(f"{column!r} is never {value!r}", cure, expr.place)


def _isin(expr: Expr) -> Kind:
    for value in expr.args[1:]:
        _same(expr, expr.args[0], value)
    return Kind.BOOL


def _truths(expr: Expr) -> Kind:
    for value in expr.args:
        if value is None or kind(value) is not Kind.BOOL:
            shown = "None" if value is None else name_of(value)
            refuse(
                f"{expr!r} joins {shown}, which is neither true nor false",
                "Put comparisons into brackets: (a > 1) & (b == 2)",
                expr.place,
            )
    return Kind.BOOL


def _when(expr: Expr) -> Kind:
    condition, value, otherwise = expr.args
    if kind(condition) is not Kind.BOOL:
        _bad(expr, condition, "Its first argument is a condition, such as Payment.amount > 500")
    given = [one for one in (value, otherwise) if one is not None]
    if not given:
        refuse(f"{expr!r} is always missing", "Give it a value", expr.place)
    kinds = {kind(one) for one in given}
    if len(kinds) == 1:
        return kinds.pop()
    if not kinds <= set(NUMBERS):
        refuse(f"{expr!r} is {name_of(value)} or {name_of(otherwise)}", "Give it two values of one kind", expr.place)
    return Kind.FLOAT


def _fill(expr: Expr) -> Kind:
    value, constant = expr.args
    whole = isinstance(constant, float) and constant.is_integer()
    a, b = kind(value), kind(constant)
    fits = a is b or (a in (Kind.FLOAT, Kind.SPAN) and b is Kind.INT) or (a in (Kind.INT, Kind.CATEGORY) and whole)
    if not (fits or (a is Kind.CATEGORY and b is Kind.INT)):
        refuse(f"{expr!r} fills {name_of(value)} with {name_of(constant)}", "Fill it with one of its kind", expr.place)
    return a


def _time(expr: Expr) -> Kind:
    if kind(expr.args[0]) is not Kind.TIME:
        _bad(expr, expr.args[0], "Give it a datetime column")
    return Kind.FLOAT


def _seconds(expr: Expr) -> Kind:
    if kind(expr.args[0]) is not Kind.SPAN:
        refuse(
            f"{expr!r} got {name_of(expr.args[0])}",
            "Give it the difference of two times: fn.seconds(a - b)",
            expr.place,
        )
    return Kind.FLOAT


def _category(expr: Expr) -> Kind:
    if kind(expr.args[0]) is Kind.TEXT:
        _bad(expr, expr.args[0], "A text is a category as it is")
    _first_number(expr)
    return Kind.CATEGORY


def _bins(expr: Expr) -> Kind:
    _first_number(expr)
    return Kind.CATEGORY


def _words(expr: Expr) -> None:
    for value in expr.args if expr.op == "cross" else expr.args[:1]:
        if kind(value) not in WORDS:
            _bad(expr, value, f"Make it a category first: fn.category({value!r}) of a whole number, or fn.bins")


def _cross(expr: Expr) -> Kind:
    _words(expr)
    return Kind.TEXT


def _hashed(expr: Expr) -> Kind:
    _words(expr)
    return Kind.CATEGORY


def _text(expr: Expr) -> Kind:
    if kind(expr.args[0]) is not Kind.TEXT:
        _bad(expr, expr.args[0], "Give it a str column")
    return Kind.FLOAT if expr.op == "length" else Kind.TEXT


def _lookup(expr: Expr) -> Kind:
    column, *keys = expr.args
    table = column.args[0]
    for field, key in zip(spec_of(table).key, keys, strict=True):  # type: ignore[union-attr]
        _keys_match(expr, key, getattr(table, field))
    return kind(column)


def _keys_match(expr: Expr, a: Any, b: Any) -> None:
    first, second = kind(a), kind(b)
    if first is not second and not (first in NUMBERS and second in NUMBERS):
        refuse(
            f"{expr!r} looks for {name_of(a)} among keys {name_of(b)}",
            "Both must be of one kind: declare the fields alike",
            expr.place,
        )


def _window(expr: Expr) -> Kind:
    aggregate, _, by, at, *_ = expr.args
    if aggregate.condition is not None and kind(aggregate.condition) is not Kind.BOOL:
        refuse(
            f"where() of {aggregate!r} is {kind_name(aggregate.condition)}, not a condition",
            "Compare it: where(x > 5)",
            aggregate.condition.place,
        )
    for key in as_tuple(by):
        if kind(key) is Kind.SPAN:
            refuse(f"by={key!r} is a span of time", "Use its number: fn.seconds(a - b)", expr.place)
    for own, theirs in zip(as_tuple(at), as_tuple(by), strict=False):
        _keys_match(expr, own, theirs)
    if aggregate.kind in ("count", "since_last"):
        return Kind.INT if aggregate.kind == "count" else Kind.FLOAT
    value = kind(aggregate.value)
    if aggregate.kind in _MEANS:
        if value not in NUMBERS:
            cure = {
                Kind.TEXT: "Count it instead, with where(x == ...), or declare the field as float",
                Kind.TIME: "Use fn.seconds(a - b) or fn.hour(x)",
                Kind.SPAN: f"Make it a number: fn.seconds({aggregate.value!r})",
            }.get(value, "Use the number itself, without fn.category, fn.bins or fn.hashed")
            refuse(f"fn.{aggregate.kind} of {name_of(aggregate.value)}", cure, aggregate.place)
        return Kind.FLOAT
    return value


def _missing(expr: Expr) -> Kind:
    kind(expr.args[0])
    return Kind.BOOL


_RULES: dict[str, Callable[[Expr], Kind]] = {
    **dict.fromkeys(("+", "*", "/", "**", "neg"), _all_numbers),
    "-": _minus,
    **dict.fromkeys(_ORDER, _order),
    **dict.fromkeys(("==", "!="), _equal),
    **dict.fromkeys(("&", "|", "not"), _truths),
    **dict.fromkeys(("log1p", "log", "exp", "sqrt", "sin", "cos", "abs"), _first_number),
    **dict.fromkeys(("clip", "round", "cyclic", "cyclic_sin", "cyclic_cos"), _first_number),
    **dict.fromkeys(("hour", "weekday", "month", "minute_of_day"), _time),
    **dict.fromkeys(("length", "lower"), _text),
    **dict.fromkeys(("over", "before"), _window),
    "seconds": _seconds,
    "category": _category,
    "bins": _bins,
    "cross": _cross,
    "hashed": _hashed,
    "is_missing": _missing,
    "fill": _fill,
    "isin": _isin,
    "when": _when,
    "lookup": _lookup,
}

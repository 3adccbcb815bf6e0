"""Every function of the language; `fn.` and Tab lists them.

Functions of a row take columns, expressions and constants and give an expression. Aggregates (`count` to `since_last`)
then take a window: `.over("1h", by=Payment.card)` with the present event, `.before(...)` without it.
A missing argument makes a missing result, and so does a result that is not finite, unless a function says otherwise.
"""

from __future__ import annotations

from stream_ml.language.fn_aggregates import (
    count,
    distinct,
    first,
    lag,
    last,
    max,
    mean,
    min,
    quantile,
    since_last,
    std,
    sum,
    var,
)
from stream_ml.language.fn_numbers import (
    abs,
    clip,
    cos,
    cyclic,
    exp,
    hour,
    log,
    log1p,
    minute_of_day,
    month,
    round,
    seconds,
    sin,
    sqrt,
    weekday,
)
from stream_ml.language.fn_values import (
    bins,
    category,
    cross,
    fill,
    hashed,
    is_missing,
    isin,
    length,
    lookup,
    lower,
    when,
)

__all__ = [
    "abs",
    "bins",
    "category",
    "clip",
    "cos",
    "count",
    "cross",
    "cyclic",
    "distinct",
    "exp",
    "fill",
    "first",
    "hashed",
    "hour",
    "is_missing",
    "isin",
    "lag",
    "last",
    "length",
    "log",
    "log1p",
    "lookup",
    "lower",
    "max",
    "mean",
    "min",
    "minute_of_day",
    "month",
    "quantile",
    "round",
    "seconds",
    "sin",
    "since_last",
    "sqrt",
    "std",
    "sum",
    "var",
    "weekday",
    "when",
]


def __dir__() -> list[str]:
    """List the language, and nothing else, on Tab."""
    return __all__

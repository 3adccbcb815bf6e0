"""Functions of one row: what is missing, choices, categories, text, tables."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

from stream_ml.language.arguments import as_column, as_number, as_whole
from stream_ml.language.expr import Column, Expr
from stream_ml.language.fn_numbers import Number
from stream_ml.language.places import joined, refuse
from stream_ml.language.walk import is_table

Text: TypeAlias = str | Expr | None
Truth: TypeAlias = bool | Expr


def is_missing(x: object) -> Expr:
    """Say whether x is missing; never missing itself.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.is_missing(Payment.country)
    fn.is_missing(Payment.country)
    """
    return Expr("is_missing", as_column("fn.is_missing", x))


def fill(x: object, value: float | str | bool | Enum) -> Expr:
    """Put the constant `value` where x is missing.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.fill(Payment.country, "none")
    fn.fill(Payment.country, 'none')
    """
    if isinstance(value, Expr) or value is None:
        refuse(
            f"fn.fill(..., {value!r}) wants a constant",
            "For a column write fn.when(fn.is_missing(x), other, otherwise=x)",
        )
    return Expr("fill", as_column("fn.fill", x), value)


def when(condition: Truth, value: object, otherwise: object = None) -> Expr:
    """Take `value` where the condition is true, `otherwise` where it is false; missing where it is missing.

    Parameters
    ----------
    condition
        A comparison of columns.
    value, otherwise
        Expressions or constants of one kind; without `otherwise` the result is missing.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.when(Payment.amount > 500, 1.0, otherwise=0.0)
    fn.when(Payment.amount > 500, 1.0, 0.0)
    """
    if not isinstance(condition, Expr):
        refuse(
            f"fn.when({condition!r}, ...): the condition is no expression of columns",
            "Write one, as Payment.amount > 5; for `is None` fn.is_missing(x)",
        )
    return Expr("when", condition, value, otherwise)


def isin(x: object, *values: object) -> Expr:
    """Say whether x equals one of the constants.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.isin(Payment.country, "FR", "DE")
    fn.isin(Payment.country, 'FR', 'DE')
    """
    if len(values) == 1 and isinstance(values[0], list | tuple | set | frozenset):
        refuse(
            f"fn.isin(x, {values[0]!r})", "Write the values one by one: fn.isin(x, 'a', 'b'), or fn.isin(x, *values)"
        )
    if not values or any(isinstance(value, Expr) or value is None for value in values):
        refuse(
            "fn.isin wants at least one constant, and no columns", "Write fn.isin(x, 'a', 'b'), or (x == a) | (x == b)"
        )
    return Expr("isin", as_column("fn.isin", x), *values)


def category(x: object) -> Expr:
    """Take a whole number as a category: the model sees its text, as `"7"`, not its size.

    Text columns are categories as they are.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.category(Payment.code)
    fn.category(Payment.code)
    """
    return Expr("category", as_column("fn.category", x))


def bins(x: Number, *edges: float) -> Expr:
    """Say which bin x falls in, as a category: the number of edges at or below x.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.bins(Payment.amount, 10, 100, 1000)
    fn.bins(Payment.amount, 10, 100, 1000)
    """
    if not edges or [*edges] != sorted(set(edges)):
        refuse(f"fn.bins with the edges {edges!r}", "Give the edges in rising order, each once, as fn.bins(x, 10, 100)")
    return Expr("bins", x, *(as_number("an edge", edge) for edge in edges))


def cross(*xs: object) -> Expr:
    """Join categories side by side into one, their texts with `|` between; missing where one is missing.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.cross(Payment.card, Payment.shop)
    fn.cross(Payment.card, Payment.shop)
    """
    if len(xs) < 2:  # noqa: PLR2004
        refuse("fn.cross joins two or more categories", "Write fn.cross(a, b)")
    return Expr("cross", *(as_column("fn.cross", x) for x in xs))


def hashed(x: object, buckets: int) -> Expr:
    """Put a category of many values into one of `buckets` by a fixed hash; several values may share one.

    Parameters
    ----------
    x
        A text, a category or a `cross` of several.
    buckets
        How many there are; memory is bounded by it.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.hashed(Payment.card, 4096)
    fn.hashed(Payment.card, 4096)
    """
    return Expr("hashed", as_column("fn.hashed", x), as_whole("buckets", buckets, 1, 2**40))


def length(x: Text) -> Expr:
    """Count the characters of a text.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.length(Payment.note)
    fn.length(Payment.note)
    """
    return Expr("length", x)


def lower(x: Text) -> Expr:
    """Write a text in small letters.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.lower(Payment.note)
    fn.lower(Payment.note)
    """
    return Expr("lower", x)


def lookup(column: object, key: object) -> Expr:
    """Look up a column of the table row that has this key now; missing where there is none.

    Parameters
    ----------
    column
        A column of a Table.
    key
        A column or an expression of one row; a tuple where the table has several key fields.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment, Shop
    >>> fn.lookup(Shop.risk, Payment.shop)
    fn.lookup(Shop.risk, Payment.shop)
    """
    if not isinstance(column, Column) or not is_table(column.args[0]):
        refuse(f"fn.lookup({column!r}, ...) wants a column of a Table", "Write fn.lookup(Merchant.risk, Payment.shop)")
    table: type[Any] = column.args[0]
    fields: tuple[str, ...] = table.__stream__.key
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) != len(fields):
        refuse(
            f"{table.__name__} is found by {len(fields)} fields, the key has {len(keys)}",
            f"Give them in order: {joined(fields)}",
        )
    return Expr("lookup", column, *(as_column("the key of fn.lookup", part) for part in keys))

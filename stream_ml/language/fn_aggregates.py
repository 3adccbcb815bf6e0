"""Aggregates, each of which then takes a window."""

from __future__ import annotations

from typing import Any, NoReturn

from stream_ml.language.aggregate import Aggregate, PointAggregate, SpanAggregate
from stream_ml.language.arguments import as_whole
from stream_ml.language.declare import Event, Label
from stream_ml.language.expr import Expr, constant
from stream_ml.language.fn_numbers import Number
from stream_ml.language.places import refuse
from stream_ml.language.sources import no_windows, source_of
from stream_ml.language.specs import spec_of
from stream_ml.language.walk import is_table


def count(stream: type[Event] | type[Label]) -> SpanAggregate:
    """Count the records of a stream; 0 where there are none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.count(Payment).over("10m", "1h", by=Payment.card)
    fn.count(Payment).over('10m', '1h', by=Payment.card)
    """
    return SpanAggregate("count", None, None, None, _stream("count", stream))


def sum(x: Number) -> SpanAggregate:
    """Gather the sum of x; 0 where there are none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.sum(Payment.amount).over("1d", by=Payment.card)
    fn.sum(Payment.amount).over('1d', by=Payment.card)
    """
    return SpanAggregate("sum", *_gathered("sum", x))


def mean(x: Number) -> SpanAggregate:
    """Gather the mean of x, of a condition how often it was true; missing where there are none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Chargeback, Payment
    >>> fn.mean(Chargeback.fraud).over("28d", by=Payment.shop)
    fn.mean(Chargeback.fraud).over('28d', by=Payment.shop)
    """
    return SpanAggregate("mean", *_gathered("mean", x))


def min(x: Number) -> SpanAggregate:
    """Gather the least x; missing where there are none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.min(Payment.amount).over("1d", by=Payment.card)
    fn.min(Payment.amount).over('1d', by=Payment.card)
    """
    return SpanAggregate("min", *_gathered("min", x))


def max(x: Number) -> SpanAggregate:
    """Gather the greatest x; missing where there are none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.max(Payment.amount).over("1d", by=Payment.card)
    fn.max(Payment.amount).over('1d', by=Payment.card)
    """
    return SpanAggregate("max", *_gathered("max", x))


def var(x: Number) -> SpanAggregate:
    """Gather the variance of x, of a sample (ddof 1); missing below two values.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.var(Payment.amount).over("1d", by=Payment.card)
    fn.var(Payment.amount).over('1d', by=Payment.card)
    """
    return SpanAggregate("var", *_gathered("var", x))


def std(x: Number) -> SpanAggregate:
    """Gather the standard deviation of x, of a sample (ddof 1); missing below two values.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.std(Payment.amount).over("1d", by=Payment.card)
    fn.std(Payment.amount).over('1d', by=Payment.card)
    """
    return SpanAggregate("std", *_gathered("std", x))


def first(x: object) -> PointAggregate:
    """Take the first x ever; this event's own where there is none before.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.first(Payment.at).over(by=Payment.card)
    fn.first(Payment.at).over(by=Payment.card)
    """
    return PointAggregate("first", *_gathered("first", x))


def last(x: object) -> PointAggregate:
    """Take the x of another stream or of a label that came last; for the own stream see `lag`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Chargeback, Payment
    >>> fn.last(Chargeback.fraud).over(by=Payment.shop)
    fn.last(Chargeback.fraud).over(by=Payment.shop)
    """
    return PointAggregate("last", *_gathered("last", x))


def lag(x: object, k: int = 1) -> PointAggregate:
    """Take the k-th last x that came before this event: 1 is the one before it.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.lag(Payment.country).over(by=Payment.card)
    fn.lag(Payment.country).over(by=Payment.card)
    """
    return PointAggregate("lag", *_gathered("lag", x, as_whole("k", k, 1, 10_000)))


def since_last(stream: type[Event] | type[Label]) -> PointAggregate:
    """Take the seconds since the last record of a stream came before this event; missing where there was none.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.since_last(Payment).over(by=Payment.card)
    fn.since_last(Payment).over(by=Payment.card)
    """
    return PointAggregate("since_last", None, None, None, _stream("since_last", stream))


def distinct(x: object) -> NoReturn:
    """Count the different x: not yet.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.distinct(Payment.shop)
    Traceback (most recent call last):
    stream_ml.errors.DeclarationError: ...fn.distinct is not there yet. ...
    """
    refuse(
        "fn.distinct is not there yet", "Count hashed values apart with .where(...), or keep the last one with fn.lag"
    )


def quantile(x: Number, q: float) -> NoReturn:
    """Gather the q-quantile of x: not yet.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.quantile(Payment.amount, 0.9)
    Traceback (most recent call last):
    stream_ml.errors.DeclarationError: ...fn.quantile is not there yet. ...
    """
    refuse("fn.quantile is not there yet", "Use fn.mean and fn.std, or how often x passes a bound: fn.mean(x > bound)")


def _stream(kind: str, stream: object) -> type[Any]:
    spec = spec_of(stream) if isinstance(stream, type) else None
    if not isinstance(stream, type) or spec is None or is_table(stream):
        value = "" if kind == "since_last" else "; to count values that are there, add .where(~fn.is_missing(x))"
        refuse(f"fn.{kind}({stream!r}) wants an Event or a Label class", f"Write fn.{kind}(Payment){value}")
    return stream


def _gathered(kind: str, x: object, k: int | None = None) -> tuple[Expr, int | None, None, type[Any]]:
    if isinstance(x, Aggregate):
        refuse(f"fn.{kind}({x!r}): aggregates inside of aggregates are not there yet", "Gather columns of one row")
    x = constant(x)
    if not isinstance(x, Expr):
        refuse(
            f"fn.{kind}({x!r}) reads no column",
            f"Write fn.{kind}(Payment.amount); for `is None` and `is not None` fn.is_missing(x) and ~fn.is_missing(x)",
        )
    no_windows(x, f"fn.{kind}(...)")
    if x.tails is not None:
        refuse(f"fn.{kind}({x!r}) holds a family", 'Pick one of it, as day["sin"]')
    return x, k, None, source_of(f"fn.{kind}({x!r})" if k in (None, 1) else f"fn.{kind}({x!r}, {k})", x)

"""Functions of one row: numbers and time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from stream_ml.language.arguments import as_number, as_whole, as_zone
from stream_ml.language.expr import Expr, Family, constant
from stream_ml.language.places import refuse

Number: TypeAlias = float | Expr | None
Time: TypeAlias = datetime | Expr | None

_MOST_DIGITS = 15


def log1p(x: Number) -> Expr:
    """Take log(1 + x), the logarithm for amounts and counts; missing where x <= -1.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.log1p(Payment.amount)
    fn.log1p(Payment.amount)
    """
    return Expr("log1p", x)


def log(x: Number) -> Expr:
    """Take the natural logarithm of x; missing where x <= 0.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.log(Payment.amount)
    fn.log(Payment.amount)
    """
    return Expr("log", x)


def exp(x: Number) -> Expr:
    """Raise e to the power x; missing where it is too large for a number (x > 709).

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.exp(-Payment.amount / 100)
    fn.exp(-Payment.amount / 100)
    """
    return Expr("exp", x)


def sqrt(x: Number) -> Expr:
    """Take the square root of x; missing where x < 0.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.sqrt(Payment.amount)
    fn.sqrt(Payment.amount)
    """
    return Expr("sqrt", x)


def sin(x: Number) -> Expr:
    """Take the sine of x in radians.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.sin(Payment.amount)
    fn.sin(Payment.amount)
    """
    return Expr("sin", x)


def cos(x: Number) -> Expr:
    """Take the cosine of x in radians.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.cos(Payment.amount)
    fn.cos(Payment.amount)
    """
    return Expr("cos", x)


def abs(x: Number) -> Expr:
    """Take x without its sign.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.abs(Payment.amount - 100)
    fn.abs(Payment.amount - 100)
    """
    return Expr("abs", x)


def clip(x: Number, low: float, high: float) -> Expr:
    """Keep x between bounds: not below `low` and not above `high`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.clip(Payment.amount, 0, 1000)
    fn.clip(Payment.amount, 0, 1000)
    """
    low, high = as_number("low", low), as_number("high", high)
    if low > high:
        refuse(f"fn.clip from {low} to {high} holds nothing", "Give the lower bound first")
    return Expr("clip", x, low, high)


def round(x: Number, digits: int = 0) -> Expr:
    """Round x to `digits` decimals, halves to the even neighbour.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.round(Payment.amount, 2)
    fn.round(Payment.amount, 2)
    """
    return Expr("round", x, as_whole("digits", digits, 0, _MOST_DIGITS))


def seconds(x: timedelta | Expr) -> Expr:
    """Take a span of time, the difference of two times, in seconds.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment, Shop
    >>> fn.seconds(Payment.at - fn.lookup(Shop.opened, Payment.shop))
    fn.seconds(Payment.at - fn.lookup(Shop.opened, Payment.shop))
    """
    return Expr("seconds", x)


def hour(x: Time, tz: str = "UTC") -> Expr:
    """Take the hour of the day, 0 to 23, in the time zone `tz`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.hour(Payment.at, tz="Europe/Paris")
    fn.hour(Payment.at, tz='Europe/Paris')
    """
    return Expr("hour", x, as_zone(tz))


def weekday(x: Time, tz: str = "UTC") -> Expr:
    """Take the day of the week, 0 (Monday) to 6, in the time zone `tz`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.weekday(Payment.at, tz="Europe/Paris")
    fn.weekday(Payment.at, tz='Europe/Paris')
    """
    return Expr("weekday", x, as_zone(tz))


def month(x: Time, tz: str = "UTC") -> Expr:
    """Take the month, 1 to 12, in the time zone `tz`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.month(Payment.at, tz="Europe/Paris")
    fn.month(Payment.at, tz='Europe/Paris')
    """
    return Expr("month", x, as_zone(tz))


def minute_of_day(x: Time, tz: str = "UTC") -> Expr:
    """Take the minute of the day, 0 to 1439, in the time zone `tz`.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.minute_of_day(Payment.at, tz="Europe/Paris")
    fn.minute_of_day(Payment.at, tz='Europe/Paris')
    """
    return Expr("minute_of_day", x, as_zone(tz))


def cyclic(x: Number, period: float) -> Family:
    """Turn a number that goes round into its sine and cosine: 23 h is then near 0 h.

    The feature `day = fn.cyclic(fn.hour(Payment.at), 24)` makes two, `day_sin` and `day_cos`;
    `day["sin"]` is one of them.

    Parameters
    ----------
    x
        The number.
    period
        Where it begins anew, in the units of x.

    Examples
    --------
    >>> from stream_ml import fn
    >>> from stream_ml.language.example import Payment
    >>> fn.cyclic(fn.hour(Payment.at), 24)
    fn.cyclic(fn.hour(Payment.at), 24)
    """
    if as_number("period", period) <= 0:
        refuse(
            f"fn.cyclic with the period {period}", "Give a period above 0: 24 for hours, 1440 for minutes of the day"
        )
    x = constant(x)
    if isinstance(x, Expr) and x.tails is not None:
        refuse(f"fn.cyclic({x!r}) would have endings of two kinds", f"Pick one, as x[{x.tails[0]!r}]")
    return Family("cyclic", (x, period), ("sin", "cos"))

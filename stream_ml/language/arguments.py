"""Checks of what `fn` is given."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from stream_ml.language.expr import Expr, constant
from stream_ml.language.places import nearest, refusal, refuse, shown


def as_column(what: str, x: object) -> Any:
    """Return an argument that is an expression of columns."""
    x = constant(x)
    if not isinstance(x, Expr):
        refuse(f"{what} got {shown(x)}, which is no column", "Give it a column or an expression of columns")
    return x


def as_number(what: str, value: object) -> float:
    """Return an argument that is a plain finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        refuse(f"{what} is {value!r}", "Give it a plain number: a bound is the same for all rows")
    return value


def as_whole(what: str, value: object, low: int, high: int) -> int:
    """Return an argument that is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(f"{what} is {value!r}", f"Give it a whole number from {low:,} to {high:,}")
    return value


@lru_cache
def as_zone(tz: str) -> str:
    """Return the name of a time zone that there is."""
    try:
        ZoneInfo(tz)
    except (KeyError, OSError, ValueError, TypeError):
        near = nearest(tz, available_timezones())
        cause = f"tz={tz!r} is no time zone"
        raise refusal(cause, f"Did you mean {near!r}?" if near else "Write tz='Europe/Paris' or 'UTC'") from None
    return tz

"""Spans of time and numbers of events, and how a window's name ends."""

from __future__ import annotations

import re
from typing import NoReturn, TypeAlias

from stream_ml.errors import Place
from stream_ml.language.places import refuse

FOREVER = "forever"
TILES = 60
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LONGEST_MS = 100 * 366 * _UNITS["d"]


class Span:
    """A span that moves with the data: a session or a calendar unit (not yet)."""

    __slots__ = ("suffix",)

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix


SpanLike: TypeAlias = "str | int | Span"


def parse_ms(text: object, what: str = "a span", place: Place | None = None) -> int:
    """Read a span of time such as `"10m"`.

    Parameters
    ----------
    text
        A whole number and a unit: ms, s, m (minutes), h, d or w.
    what
        What it is for, named in the error.
    place
        Where the error lies; the user's present line if not given.

    Returns
    -------
    int
        Milliseconds.

    Examples
    --------
    >>> parse_ms("10m"), parse_ms("7d")
    (600000, 604800000)
    """
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", text) if isinstance(text, str) else None
    if match is None:
        refuse(f"{what} is {text!r}", 'Write a whole number and a unit (ms, s, m, h, d, w), as "90m" or "7d"', place)
    length = int(match[1]) * _UNITS[match[2]]
    if length > _LONGEST_MS:
        refuse(f"{what} is {text!r}, more than a hundred years", 'Write "forever" for all of the past', place)
    return length


def parse_bytes(text: object, what: str = "a size") -> int:
    """Read a size such as `"256MiB"`; a plain whole number is bytes.

    Examples
    --------
    >>> parse_bytes("256MiB")
    268435456
    """
    match = re.fullmatch(r"(\d+) ?([KMG]i?B|B|)", str(text)) if isinstance(text, str | int) else None
    if match is None or isinstance(text, bool) or not int(match[1]):
        refuse(f"{what} is {text!r}", 'Write a whole number and a unit (B, KiB, MiB, GiB), as "256MiB"')
    return int(match[1]) * _SIZES[match[2]]


def suffix(span: SpanLike) -> str:
    """Say how a feature over `span` is named: `10m`, `last20`, `forever`."""
    if isinstance(span, Span):
        return span.suffix
    return f"last{span}" if isinstance(span, int) else span


def check_span(span: object) -> None:
    """Refuse what is no span of a window."""
    if isinstance(span, int) and not isinstance(span, bool):
        if span < 1:
            refuse(f"a window over the last {span} events", "Write a number of events from 1")
    elif span != FOREVER and not isinstance(span, Span) and parse_ms(span, "a window's span") == 0:
        refuse(f"a window of {span!r} holds nothing", "Write a span longer than 0, such as '10m'")


def session(gap: str) -> NoReturn:
    """Since the last silence longer than `gap`: not yet.

    Examples
    --------
    >>> session("30m")
    Traceback (most recent call last):
    stream_ml.errors.DeclarationError: ...session windows are not there yet. Use a span of time, such as '30m'.
    """
    refuse("session windows are not there yet", f"Use a span of time, such as {gap!r}")


def calendar(unit: str, tz: str = "UTC") -> NoReturn:
    """Since the start of this hour, day, week or month in `tz`: not yet.

    Examples
    --------
    >>> calendar("day")
    Traceback (most recent call last):
    stream_ml.errors.DeclarationError: ...calendar windows are not there yet. Use a sliding span, such as '1d'.
    """
    near = {"hour": "1h", "day": "1d", "week": "7d", "month": "30d"}.get(unit, "1d")
    refuse("calendar windows are not there yet", f"Use a sliding span, such as {near!r}")

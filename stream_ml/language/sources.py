"""Which stream an aggregate gathers, and what it may read of it."""

from __future__ import annotations

from typing import Any, NoReturn

from stream_ml.language.expr import Expr
from stream_ml.language.places import joined, refuse, shown
from stream_ml.language.spans import FOREVER, TILES, check_span, parse_ms, suffix
from stream_ml.language.walk import columns, event_of, is_label, is_table, streams, windows

MOST_TILES = 100_000


def no_windows(expr: Expr, where: str) -> None:
    """Refuse an aggregate inside of another's value, condition or key: not yet."""
    inner = windows(expr)
    if inner:
        refuse(
            f"{inner[0]!r} stands in {where}: aggregates inside of aggregates are not there yet",
            "Use columns and functions of one row there, and combine the aggregates in a feature",
            expr.place,
        )


def no_tables(expr: Expr) -> None:
    """Refuse a table's column that is read without a look-up."""
    for column in columns(expr):
        if is_table(column.args[0]):
            refuse(
                f"{column!r} is a column of a table, which has no present row",
                f"Look it up by a key of the event: fn.lookup({column!r}, key)",
                column.place,
            )


def source_of(what: object, *exprs: Expr) -> type[Any]:
    """Find the one stream whose records `exprs` are expressions of: a label where they read one, else the event."""
    for expr in exprs:
        no_tables(expr)
    read = streams(*exprs)
    if not read:
        refuse(f"{what} reads no column", "Gather a column or an expression of columns")
    labels = [cls for cls in read if is_label(cls)]
    source = labels[0] if labels else read[0]
    foreign = [cls for cls in read if cls is not source and not (labels and cls is event_of(source))]
    if foreign:
        refuse(
            f"{what} reads {source.__name__} and {foreign[0].__name__}: an aggregate gathers one stream",
            "Use columns of one stream, or of a label and its own event",
        )
    return source


def reads_only(source: type[Any], where: str, expr: Expr) -> None:
    """Refuse columns of other streams than the source, or than a label source's event."""
    no_tables(expr)
    for column in columns(expr):
        cls = column.args[0]
        if cls is source or (is_label(source) and cls is event_of(source)):
            continue
        if is_label(cls) and event_of(cls) is source:
            cure = f"Gather {cls.__name__} instead of {source.__name__}: fn.count({cls.__name__})"
        elif where.startswith("by="):
            cure = f"by= names a column of {source.__name__}; where this event looks is at={column!r}"
        else:
            cure = f"Use columns of {source.__name__}"
        refuse(f"{column!r} in {where} is no column of {source.__name__}", cure, expr.place)


def not_a_key(word: str, key: object, source: type[Any]) -> NoReturn:
    """Refuse a key that is no expression, such as a column's name."""
    cls = event_of(source)
    fields = getattr(cls, "model_fields", {})
    example = f"{cls.__name__}.{key if isinstance(key, str) and key in fields else next(iter(fields), 'field')}"
    refuse(f"{word}={shown(key)} is no column", f"Write {word}={example}, a tuple of columns, or by=None for all")


def check_options(
    aggregate: object, spans: tuple[Any, ...], offset: object, tiles: object, exact: object
) -> tuple[str, int, bool]:
    """Refuse spans and options of a window that contradict themselves or one another."""
    for span in spans:
        check_span(span)
    names = [suffix(span) for span in spans]
    if len(set(names)) < len(names):
        refuse(f"{aggregate!r} has a span twice: {joined(names)}", "Name each span once")
    timed = [span for span in spans if isinstance(span, str) and span != FOREVER]
    if not isinstance(tiles, int) or isinstance(tiles, bool) or not 1 <= tiles <= MOST_TILES:
        refuse(f"tiles={tiles!r}", f"Write a whole number from 1 to {MOST_TILES:,}, such as tiles={TILES}")
    if not isinstance(exact, bool):
        refuse(f"exact={exact!r}", "Write exact=True to keep each event")
    if exact and tiles != TILES:
        refuse(f"tiles={tiles} with exact=True", "Choose one: an exact window has no tiles")
    if spans and not timed and (exact or tiles != TILES):
        refuse("tiles= and exact= are for spans of time", "Leave them out: last n and forever are exact")
    if parse_ms(offset, "offset=") and len(timed) < len(spans):
        refuse("offset= shifts spans of time only", "Leave it out for last n and forever")
    return str(offset), tiles, exact

"""What an expression of an event's row may read, and the keys its windows look under."""

from __future__ import annotations

from typing import Any, NoReturn

from stream_ml.language.expr import Column, Expr
from stream_ml.language.kinds import kind, name_of
from stream_ml.language.places import refuse
from stream_ml.language.sources import no_tables
from stream_ml.language.walk import as_tuple, columns, event_of, is_label, windows


def check_row(of: type[Any], expr: Expr, what: str) -> None:
    """Refuse what an event cannot know of itself when it comes.

    Parameters
    ----------
    of
        The Event class.
    expr
        An expression over one span, its windows included.
    what
        What it is, for the message.
    """
    no_tables(expr)
    for column in columns(expr):
        if column.args[0] is not of:
            _foreign(of, column, what)
    for window in windows(expr):
        check_window(of, window)
    kind(expr)


def check_window(of: type[Any], window: Expr) -> None:
    """Refuse a window that an event of `of` cannot read."""
    aggregate, _, _, at, *_ = window.args
    if aggregate.kind == "last" and aggregate.source is of:
        refuse(
            f"{aggregate!r} of the event's own stream is the column itself",
            f"Write {aggregate.value!r}, or fn.lag({aggregate.value!r}) for the one before",
            window.place,
        )
    if aggregate.source is not of and issubclass(of, aggregate.source):
        refuse(
            f"{aggregate!r} gathers {aggregate.source.__name__}, which {of.__name__} was made from",
            f"Gather {of.__name__}; fields that events share go into a plain pydantic BaseModel",
            window.place,
        )
    if is_label(aggregate.source) and event_of(aggregate.source) is not of:
        refuse(
            f"{aggregate!r} gathers the outcomes of {event_of(aggregate.source).__name__}, not of {of.__name__}: "
            "labels of other events are not there yet",
            f"Use a label of {of.__name__}, or declare {aggregate.source.__name__} as an Event",
            window.place,
        )
    for key in as_tuple(at):
        for column in columns(key):
            if column.args[0] is not of:
                refuse(f"at={key!r} is not of {of.__name__}", f"at= names columns of {of.__name__}", window.place)
    reading_key(window, of)
    kind(window)


def reading_key(window: Expr, of: type[Any]) -> tuple[Any, ...]:
    """Return the key under which an event of `of` reads a window, one expression a part.

    That is `at=` where it is given; else `by=` with every column of another stream replaced by the event's column of
    the same name. Refused where there is none.
    """
    _, _, by, at, *_ = window.args
    if at is not None:
        return as_tuple(at)
    return tuple(_renamed(part, of, window) for part in as_tuple(by))


def adding_key(window: Expr) -> tuple[Any, ...]:
    """Return the key under which records of a window's source are added, one expression a part."""
    return as_tuple(window.args[2])


def _renamed(expr: Any, of: type[Any], window: Expr) -> Any:
    """Return an expression with the columns of other streams replaced by the event's of the same name."""
    if isinstance(expr, Column):
        return expr if expr.args[0] is of else _namesake(expr, of, window)
    if not isinstance(expr, Expr):
        return expr
    kept = expr.args[:1] if expr.op == "lookup" else ()
    args = (*kept, *(_renamed(arg, of, window) for arg in expr.args[len(kept) :]))
    same = all(new is old for new, old in zip(args, expr.args, strict=True))
    return expr if same else Expr.build(expr.op, args, expr.place)


def _namesake(column: Column, of: type[Any], window: Expr) -> Column:
    field = column.args[1]
    if field not in of.model_fields:
        refuse(
            f"{window!r} gathers by {column!r}, and {of.__name__} has no column {field!r} to look under",
            f"Say where this event looks: at={of.__name__}.{next(iter((*of.__stream__.key, *of.model_fields)))}",
            window.place,
        )
    own = Column(of, field)
    if kind(own) is not kind(column):
        refuse(
            f"{window!r} gathers by {name_of(column)}, but looks under {name_of(own)}",
            "Declare the two fields alike, or say at=",
            window.place,
        )
    return own


def _foreign(of: type[Any], column: Column, what: str) -> NoReturn:
    cls, field = column.args
    if is_label(cls):
        refuse(
            f"{what} reads {column!r}, which is not known when the event comes",
            f"Gather what is known by then: fn.mean({column!r}).over(...), fn.last or fn.count({cls.__name__})",
            column.place,
        )
    if issubclass(of, cls):
        refuse(f"{what} reads {column!r}, not a column of {of.__name__}", f"Write {of.__name__}.{field}", column.place)
    refuse(
        f"{what} reads {column!r}, a column of another stream",
        f"Gather it: fn.mean({column!r}).over(...) or fn.last({column!r}).over(...)",
        column.place,
    )

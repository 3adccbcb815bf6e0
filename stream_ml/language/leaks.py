"""A record that is event and label at once: features must not read the truth out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_ml.language.expr import Column, Expr
from stream_ml.language.fields import data_name
from stream_ml.language.places import refuse
from stream_ml.language.walk import as_tuple, columns, is_label, windows


def check_own_label(of: type[Any], served: Mapping[str, Expr], when: Expr | None, label: Expr) -> None:
    """Refuse features that read a field of their own record which the label tells.

    Only where the label's topic is the event's own and it answers the event of its own record (no `on=`). Windows
    without the present event may read the field, where it is known with the record (no `delay=`).
    """
    told = [column for column in columns(label) if is_label(column.args[0])]
    stream = told[0].args[0]
    spec = stream.__stream__
    if spec.topic != of.__stream__.topic or spec.on is not None:
        return
    truths = {data_name(*column.args): column for column in told}
    kept = {of.__stream__.id, of.__stream__.time, *of.__stream__.key}
    uses = dict(served) if when is None else {**served, "when=": when}
    for name, expr in uses.items():
        for column in _reads(of, expr, delayed=spec.delay_ms > 0):
            field = data_name(*column.args)
            if field in truths and column.args[1] not in kept:
                what = name if name == "when=" else f"the feature {name}"
                refuse(
                    f"{what} reads its own label: {column!r} is {truths[field]!r} in the same record",
                    f"Read what was known before: fn.mean({truths[field]!r}).over(...)",
                    column.place,
                )


def _reads(of: type[Any], expr: Expr, *, delayed: bool) -> list[Column]:
    """List the event's columns that an expression reads before they are known."""
    found = columns(expr)
    for window in windows(expr):
        aggregate, _, by, _, *_ = window.args
        found += columns(*as_tuple(by))
        past = window.op == "before" or aggregate.kind in ("lag", "since_last")
        if aggregate.source is of and (delayed or not past):
            found += columns(aggregate.value, aggregate.condition)
    return [column for column in found if column.args[0] is of]

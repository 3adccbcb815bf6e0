"""A declared window as the kernels know it."""

from __future__ import annotations

from stream_ml.features.spec import Reading, Window
from stream_ml.kernels import algebra
from stream_ml.language.expr import Expr
from stream_ml.language.spans import FOREVER, parse_ms

#: Aggregate to (kind of record, what is read out of it).
RECORDS = {
    "count": (algebra.COUNT, algebra.READ_COUNT),
    "sum": (algebra.SUM, algebra.READ_SUM),
    "mean": (algebra.SUM, algebra.READ_MEAN),
    "var": (algebra.VAR, algebra.READ_VAR),
    "std": (algebra.VAR, algebra.READ_STD),
    "min": (algebra.MINMAX, algebra.READ_MIN),
    "max": (algebra.MINMAX, algebra.READ_MAX),
}
POINTS = {"last": "last", "first": "first", "lag": "lag", "since_last": "since"}


def window_of(expr: Expr, register: int, *, text: bool) -> Window:
    """Return the window of an expanded `over` or `before` expression, read into `register`."""
    aggregate, spans, _, _, offset, tiles, exact = expr.args
    before = expr.op == "before"
    if not spans:
        family = POINTS[aggregate.kind]
        return Window(family, 0, before, int(aggregate.k or 1), 0, 0, (Reading(register, 0),), text)
    kind, what = RECORDS[aggregate.kind]
    reading = (Reading(register, what),)
    (span,) = spans
    if span == FOREVER:
        return Window("forever", kind, before, 0, 0, 0, reading)
    if isinstance(span, int):
        return Window("newest", kind, before, span, 0, 0, reading)
    length, shift = parse_ms(span), parse_ms(offset) if offset else 0
    if exact:
        return Window("exact", kind, before, length, 0, shift, reading)
    tile = -(-length // (tiles or 60))
    return Window("tiles", kind, before, length, tile, (shift + tile // 2) // tile, reading)

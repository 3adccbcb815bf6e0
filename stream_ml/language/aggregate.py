"""Aggregates, which wait for their window: `.over(...)` with this event, `.before(...)` without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from stream_ml.errors import Place
from stream_ml.language.expr import Expr, Family, Unfinished, no_window
from stream_ml.language.keywords import checked
from stream_ml.language.places import UnknownAttribute, here, refuse
from stream_ml.language.sources import check_options, no_windows, not_a_key, reads_only, source_of
from stream_ml.language.spans import TILES, SpanLike, suffix
from stream_ml.language.walk import as_tuple, streams

_NEEDED = {
    "span": "Begin with how long: '1h', 100 (events) or 'forever'",
    "by": "Say by what it gathers: by=Payment.card, a tuple of columns, or by=None for all",
}
Self = TypeVar("Self", bound="Aggregate")


class Aggregate(Unfinished):
    """What is gathered over a window.

    Attributes
    ----------
    kind
        count, sum, mean, min, max, var, std, first, last, lag or since_last.
    value
        The expression gathered, None for count and since_last.
    k
        The lag's number of events, else None.
    condition
        What `.where` was given, else None.
    source
        The Event or Label class whose records it gathers.
    """

    __slots__ = ("condition", "k", "kind", "place", "source", "value")

    def __init__(self, kind: str, value: Any, k: int | None, condition: Any, source: type[Any]) -> None:
        self.kind, self.value, self.k, self.condition, self.source = kind, value, k, condition, source
        self.place: Place | None = here()

    def __repr__(self) -> str:
        what = self.source.__name__ if self.value is None else repr(self.value)
        text = f"fn.{self.kind}({what})" if self.k in (None, 1) else f"fn.{self.kind}({what}, {self.k})"
        return text if self.condition is None else f"{text}.where({self.condition!r})"

    def where(self: Self, condition: bool | Expr) -> Self:
        """Gather only the records for which `condition`, of its source's columns, is true.

        Examples
        --------
        >>> from datetime import datetime
        >>> from stream_ml import Event, fn
        >>> class Payment(Event, topic="payments", key="card", time="at", lateness="30s"):
        ...     card: str
        ...     amount: float
        ...     at: datetime
        >>> fn.count(Payment).where(Payment.amount > 500).over("1d", by=Payment.card)
        fn.count(Payment).where(Payment.amount > 500).over('1d', by=Payment.card)
        """
        if not isinstance(condition, Expr):
            refuse(
                f"where() got {condition!r}, not a condition on columns",
                "Write where(Payment.amount > 5); for `is None` fn.is_missing(x), for `is not None` ~fn.is_missing(x)",
            )
        if self.condition is not None:
            refuse(f"{self!r} has a condition already", "Join them: where(a & b)")
        no_windows(condition, f"where() of {self!r}")
        source = self.source
        if self.value is not None:
            source = source_of(self, self.value, condition)
        else:
            reads_only(source, f"where() of {self!r}", condition)
        return type(self)(self.kind, self.value, self.k, condition, source)

    def _window(self, word: str, spans: tuple[Any, ...], by: Any, at: Any, how: tuple[Any, Any, Any]) -> Family:
        keys = self._keys("by", by)
        for key in keys:
            reads_only(self.source, f"by= of {self!r}", key)
        if at is not None and len(self._keys("at", at)) != len(keys):
            refuse(
                f"at= has {len(as_tuple(at))} parts and by= has {len(keys)}",
                "Give at= as many as by=, in the same order: at= is where this event looks among the keys of by=",
            )
        args = (self, spans, by, at, *check_options(self, spans, *how))
        return Family(word, args, tuple(suffix(span) for span in spans))

    def _keys(self, word: str, given: Any) -> tuple[Expr, ...]:
        if isinstance(given, tuple) and not given:
            refuse(f"{word}=() names nothing", "Write by=None for one window over all")
        for key in as_tuple(given):
            if not isinstance(key, Expr):
                not_a_key(word, key, self.source)
            no_windows(key, f"{word}= of {self!r}")
            if key.tails is not None:
                refuse(f"{word}={key!r} holds a family", 'Pick one of it, as day["sin"]')
            if not streams(key):
                refuse(f"{word}={key!r} reads no column", "Name a column of the stream")
        return as_tuple(given)

    if not TYPE_CHECKING:

        def _unfinished(self, *_: object) -> NoReturn:
            no_window(self)

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _unfinished
        __pow__ = __rpow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _unfinished
        __and__ = __rand__ = __or__ = __ror__ = __invert__ = __bool__ = __float__ = __getitem__ = _unfinished
        __iter__ = __format__ = _unfinished
        __hash__ = object.__hash__

        def __getattr__(self, name):
            if name.startswith("_") or name in Aggregate.__slots__:
                raise AttributeError(name)
            cause = f"{self!r} has no .{name}"
            raise UnknownAttribute(cause, "An aggregate has .where(condition), .over(...) and .before(...)")


class SpanAggregate(Aggregate):
    """An aggregate over spans: count, sum, mean, min, max, var, std."""

    __slots__ = ()

    @checked("{self!r}.over(...)", _NEEDED)
    def over(
        self,
        span: SpanLike,
        /,
        *spans: SpanLike,
        by: object,
        at: object = None,
        offset: str = "0s",
        tiles: int = TILES,
        exact: bool = False,
    ) -> Family:
        """Gather over one or more spans up to and with this event, as SQL's CURRENT ROW does.

        Parameters
        ----------
        span, spans
            A span of time `"10m"` (units ms, s, m, h, d, w), a number of last events `20`, or `"forever"`.
            Each makes a feature of its own, named `<name>_10m`, `<name>_last20`, `<name>_forever`.
        by
            The key: a column of the source, a tuple, an expression of one row, or None for one window over all.
        at
            Where this event looks among those keys, when its columns have other names.
        offset
            How long ago the window ends, as `"1d"`.
        tiles
            In how many pieces a span of time is kept; the far edge is rounded down to one of them.
        exact
            Keep each event instead of tiles.
        """
        return self._window("over", (span, *spans), by, at, (offset, tiles, exact))

    @checked("{self!r}.before(...)", _NEEDED)
    def before(
        self,
        span: SpanLike,
        /,
        *spans: SpanLike,
        by: object,
        at: object = None,
        offset: str = "0s",
        tiles: int = TILES,
        exact: bool = False,
    ) -> Family:
        """Gather over one or more spans without this event; the arguments are those of `over`."""
        return self._window("before", (span, *spans), by, at, (offset, tiles, exact))


class PointAggregate(Aggregate):
    """An aggregate that takes no span: first, last, lag, since_last."""

    __slots__ = ()

    @checked("{self!r}.over(...)", _NEEDED)
    def over(self, *, by: object, at: object = None) -> Expr:
        """Take it by a key.

        Parameters
        ----------
        by
            The key: a column of the source, a tuple, an expression of one row, or None for all.
        at
            Where this event looks among those keys, when its columns have other names.
        """
        return self._point("over", by, at)

    @checked("{self!r}.before(...)", _NEEDED)
    def before(self, *, by: object, at: object = None) -> Expr:
        """Take it by a key, without this event; the arguments are those of `over`."""
        return self._point("before", by, at)

    def _point(self, word: str, by: object, at: object) -> Expr:
        made = self._window(word, (), by, at, ("0s", TILES, False))
        return Expr.build(made.op, made.args, made.place)

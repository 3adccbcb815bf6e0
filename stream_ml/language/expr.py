"""What a column is at declaration time: a small tree. Operators only; the functions are in `fn`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

from stream_ml.errors import Place
from stream_ml.language.places import UnknownAttribute, here, joined, refuse
from stream_ml.language.show import show
from stream_ml.language.spans import SpanLike, suffix

EXACT = 2**53
_UFUNCS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "true_divide": "/",
    "power": "**",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
}


class Expr:
    """A value of each row, not yet computed.

    Attributes
    ----------
    op
        The operation's name: `+`, `log1p`, `column`, `over`, ...
    args
        Its arguments: expressions and plain constants.
    place
        The line of the user's file that wrote it.
    tails
        Where it holds windows over several spans, the endings of their names; else None.
    """

    __slots__ = ("args", "known", "op", "picks", "place", "tails")

    op: str
    args: tuple[Any, ...]
    place: Place | None
    tails: tuple[str, ...] | None
    picks: dict[str, Expr]
    known: Any

    def __init__(self, op: str, *args: Any) -> None:
        self._set(op, tuple(constant(arg) for arg in args), here())
        self.tails = common_tails(self)

    def _set(self, op: str, args: tuple[Any, ...], place: Place | None) -> None:
        self.op, self.args, self.place = op, args, place
        self.tails, self.picks, self.known = None, {}, None

    @classmethod
    def build(cls, op: str, args: tuple[Any, ...], place: Place | None) -> Expr:
        """Build an expression of checked arguments, written at `place`."""
        made = Expr.__new__(Expr)
        made._set(op, args, place)  # noqa: SLF001 (its own)
        return made

    def __repr__(self) -> str:
        return show(self.op, self.args)

    def __getitem__(self, span: SpanLike) -> Expr:
        if self.tails is None:
            refuse(f"{self!r}[{span!r}]: this holds no family of windows", "Drop the brackets")
        if not isinstance(span, str | int) or suffix(span) not in self.tails:
            refuse(f"{span!r} is no span of {self!r}", f"It has {joined(self.tails)}")
        picked: Expr = pick(self, suffix(span))
        return picked

    def single(self, tail: str) -> Expr:
        """Build this expression over one span of its families."""
        return Expr.build(self.op, tuple(pick(arg, tail) for arg in self.args), self.place)

    def __add__(self, other: object) -> Expr:
        return Expr("+", self, other)

    def __radd__(self, other: object) -> Expr:
        return Expr("+", other, self)

    def __sub__(self, other: object) -> Expr:
        return Expr("-", self, other)

    def __rsub__(self, other: object) -> Expr:
        return Expr("-", other, self)

    def __mul__(self, other: object) -> Expr:
        return Expr("*", self, other)

    def __rmul__(self, other: object) -> Expr:
        return Expr("*", other, self)

    def __truediv__(self, other: object) -> Expr:
        return Expr("/", self, other)

    def __rtruediv__(self, other: object) -> Expr:
        return Expr("/", other, self)

    def __pow__(self, other: object) -> Expr:
        return Expr("**", self, other)

    def __rpow__(self, other: object) -> Expr:
        return Expr("**", other, self)

    def __neg__(self) -> Expr:
        return Expr("neg", self)

    def __lt__(self, other: object) -> Expr:
        return Expr("<", self, other)

    def __le__(self, other: object) -> Expr:
        return Expr("<=", self, other)

    def __gt__(self, other: object) -> Expr:
        return Expr(">", self, other)

    def __ge__(self, other: object) -> Expr:
        return Expr(">=", self, other)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr("==", self, other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr("!=", self, other)

    def __and__(self, other: object) -> Expr:
        return Expr("&", self, other)

    def __rand__(self, other: object) -> Expr:
        return Expr("&", other, self)

    def __or__(self, other: object) -> Expr:
        return Expr("|", self, other)

    def __ror__(self, other: object) -> Expr:
        return Expr("|", other, self)

    def __invert__(self) -> Expr:
        return Expr("not", self)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:  # noqa: PLE0304 (it only refuses)
        refuse(
            f"{self!r} is neither true nor false here: it is a column, whose values come later",
            "Write & for and, | for or, ~ for not, with brackets: (a < x) & (x < b); fn.isin(x, ...) for in",
        )

    def __iter__(self) -> Iterator[Any]:
        refuse(f"{self!r} is a column and cannot be looped over", "Write the expression once: it is for each row")

    def __contains__(self, item: object) -> bool:
        refuse(f"{item!r} in {self!r}: a column holds no members here", "Use fn.isin(x, ...) or ==")

    def __format__(self, spec: str) -> str:
        refuse(f"{self!r} has no text here: it is a column", "Use fn.cross(a, b) to join columns")

    if not TYPE_CHECKING:  # what follows only refuses; type checkers should not think that it works

        def __float__(self) -> NoReturn:
            refuse(f"{self!r} is no number here: it is a column", "Use fn.log1p and its kin, not math.*")

        __int__ = __index__ = __complex__ = __trunc__ = __floor__ = __ceil__ = __float__

        def __len__(self) -> NoReturn:  # noqa: PLE0303 (it only refuses)
            refuse(f"len({self!r}): a column has no length here", f"Use fn.length({self!r})")

        def __abs__(self) -> NoReturn:
            refuse(f"abs({self!r}): a column has operators only", f"Use fn.abs({self!r})")

        def __round__(self, digits: int = 0) -> NoReturn:
            refuse(f"round({self!r}): a column has operators only", f"Use fn.round({self!r}, {digits or 0})")

        def __floordiv__(self, other: object) -> NoReturn:
            refuse("// and % are no operators of the language", "Use fn.round, fn.bins or fn.cyclic")

        __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = __floordiv__

        def __xor__(self, other: object) -> NoReturn:
            refuse("^ is no operator of the language", "Use ** for a power, != for exclusive or")

        __rxor__ = __xor__

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in Expr.__slots__:
                raise AttributeError(name)
            cause = f"{self!r} is an expression and has no .{name}"
            raise UnknownAttribute(cause, f"Functions are in fn: fn.{name}({self!r}, ...)")

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Expr:
            if ufunc.__name__ in _UFUNCS and method == "__call__" and not options:
                return Expr(_UFUNCS[ufunc.__name__], *inputs)
            refuse(f"numpy.{ufunc.__name__} of {self!r}: numpy sees no values here", f"Use fn.{ufunc.__name__}")


class Column(Expr):
    """A field of a declared class; its args are the class and the field's name."""

    __slots__ = ()

    def __init__(self, cls: type[Any], field: str) -> None:
        self._set("column", (cls, field), here())


class Family(Expr):
    """One expression with several endings; `n["1h"]` is one of them."""

    __slots__ = ()

    def __init__(self, op: str, args: tuple[Any, ...], tails: tuple[str, ...]) -> None:
        self._set(op, args, here())
        self.tails = tails

    def single(self, tail: str) -> Expr:
        """Build the member whose name ends in `tail`."""
        if self.op == "cyclic":
            return Expr.build(f"cyclic_{tail}", self.args, self.place)
        aggregate, spans, *rest = self.args
        span = next(span for span in spans if suffix(span) == tail)
        return Expr.build(self.op, (aggregate, (span,), *rest), self.place)


class Unfinished:
    """Base of what is no expression yet: an aggregate without its window."""

    __slots__ = ()


def pick(arg: Any, tail: str) -> Any:
    """Return `arg` over one span; the same object each time it is asked."""
    if not isinstance(arg, Expr) or arg.tails is None:
        return arg
    if tail not in arg.picks:
        arg.picks[tail] = arg.single(tail)
    return arg.picks[tail]


def common_tails(expr: Expr) -> tuple[str, ...] | None:
    """Return the endings that the families in an expression's arguments share; refuse several."""
    found: dict[tuple[str, ...], Expr] = {
        arg.tails: arg for arg in expr.args if isinstance(arg, Expr) and arg.tails is not None
    }
    if len(found) > 1:
        (first, a), (second, b) = list(found.items())[:2]
        refuse(
            f"{expr!r} mixes families: {a!r} has {joined(first)}, {b!r} has {joined(second)}",
            f"Pick one of each, as n[{first[0]!r}] / m[{second[0]!r}], or give both the same spans",
        )
    return next(iter(found), None)


def constant(value: Any) -> Any:
    """Return an argument as the plan reads it: an expression, or a plain float, int, bool, str, datetime or None."""
    if isinstance(value, Expr) or value is None:
        return value
    if isinstance(value, Unfinished):
        no_window(value)
    if isinstance(value, Enum):
        value = value.value
    elif hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _exact(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return _no_constant(value)


def _exact(value: float) -> float:
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) > EXACT):
        refuse(f"the constant {value!r} is no exact finite number", "Write a number within 2**53")
    return value


def _no_constant(value: Any) -> NoReturn:
    cure = "Write a column, a number, a text or a datetime"
    if isinstance(value, timedelta):
        cure = "Use fn.seconds(a - b) and a number of seconds"
    elif isinstance(value, type):
        cure = f"Write a column of it, as {value.__name__}.field"
    refuse(f"{value!r} has no meaning in an expression", cure)


def no_window(aggregate: object, place: Place | None = None) -> NoReturn:
    """Refuse an aggregate that waits for its window."""
    refuse(f"{aggregate!r} has no window", 'Add .over("1h", by=...), or .before(...) for without this event', place)

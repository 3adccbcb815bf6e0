"""Features: a class body of expressions, whose attributes are what the model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from stream_ml.errors import Place
from stream_ml.language.declare import Event
from stream_ml.language.expr import Column, Expr, Unfinished, no_window, pick
from stream_ml.language.keywords import check_names
from stream_ml.language.kinds import Kind, kind, kind_name
from stream_ml.language.places import attribute_place, here, keyword_place, refuse, shown
from stream_ml.language.rows import check_row
from stream_ml.language.specs import EventSpec, spec_of

_RESERVED = ("served", "of")
_NO_FEATURE = {
    Kind.TIME: "Make it a number: fn.hour(x), or fn.seconds(a - b)",
    Kind.SPAN: "Make it a number: fn.seconds(a - b)",
}


class Features:
    """What the model sees of an event: each attribute an expression, in the order written.

    A window over several spans makes a feature for each, named with the span: `n_10m`, `n_1h`. A name that begins with
    `_` is a helper, not served.

    Class keywords
    --------------
    of
        The Event class.
    take
        Columns to pass through under their own names.

    Attributes
    ----------
    of
        The Event class.
    served
        The features by name, each over one span.

    Examples
    --------
    >>> from stream_ml import Features, fn
    >>> from stream_ml.language.example import Payment
    >>> class PaymentFeatures(Features, of=Payment, take=(Payment.amount,)):
    ...     n = fn.count(Payment).over("10m", "1h", by=Payment.card)
    ...     burst = n["10m"] / n["1h"]
    >>> list(PaymentFeatures.served)
    ['amount', 'n_10m', 'n_1h', 'burst']
    """

    of: ClassVar[type[Event]]
    served: ClassVar[dict[str, Expr]] = {}
    place: ClassVar[Place | None] = None

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, of: type[Event], take: tuple[object, ...] = ()) -> None: ...

    else:

        def __init_subclass__(cls, **given):
            """Name and check what the body holds."""
            place = here()
            check_names(f"Features {cls.__name__}", given, ("of", "take"), place)
            _Namer(cls, given, place).run()


class _Namer:
    """Fills `served` of one class, refusing what is no feature."""

    def __init__(self, cls: type[Features], given: dict[str, Any], place: Place | None) -> None:
        self.cls, self.place, self.body = cls, place, dict(vars(cls))
        parent: Any = super(cls, cls)
        self.inherited: Any = getattr(parent, "of", None)
        self.of: Any = given.get("of", self.inherited)
        self.take = given.get("take", ())
        self.served = dict(parent.served)

    def run(self) -> None:
        """Check `of`, then take, then the body."""
        self._check_of()
        for column in self.take if isinstance(self.take, tuple) else (self.take,):
            if not isinstance(column, Column):
                refuse(
                    f"{self.cls.__name__}: take= holds {shown(column)}, which is no column",
                    "Write take=(Payment.amount, Payment.card)",
                    self.place,
                )
            self._put(column.args[1], "take", column)
        for name, value in self.body.items():
            if name in _RESERVED:
                refuse(f"{self.cls.__name__}.{name}: the name is taken", "Call it otherwise", self._line(name))
            if not name.startswith("_"):
                self._add(name, value)
        self.cls.of, self.cls.served, self.cls.place = self.of, self.served, self.place

    def _line(self, name: str) -> Place | None:
        return keyword_place(self.place, "take") if name == "take" else attribute_place(self.place, name)

    def _check_of(self) -> None:
        name = self.cls.__name__
        if not (isinstance(self.of, type) and isinstance(spec_of(self.of), EventSpec)):
            cause = (
                f"Features {name} has no of=" if self.of is None else f"{name}: of={shown(self.of)} is no Event class"
            )
            refuse(cause, "Say of what events: of=Payment", self.place)
        if self.inherited not in (None, self.of):
            refuse(
                f"{name} is of {self.of.__name__}, but inherits features of {self.inherited.__name__}",
                "Inherit features of the same event class",
                self.place,
            )

    def _add(self, name: str, value: Any) -> None:
        if isinstance(value, Unfinished):
            no_window(value, self._line(name))
        if not isinstance(value, Expr):
            self._no_expression(name, value)
        if value.tails is None:
            self._put(name, name, value)
        else:
            for tail in value.tails:
                self._put(f"{name}_{tail}", name, pick(value, tail))

    def _no_expression(self, name: str, value: Any) -> NoReturn:
        if isinstance(value, bool):
            cure = "For `is None` and `is not None` write fn.is_missing(x) and ~fn.is_missing(x)"
        elif callable(value):
            cure = "Features are expressions of columns; begin a helper's name with _"
        else:
            cure = "It would be the same for every event; begin a helper's name with _"
        refuse(f"{self.cls.__name__}.{name} = {shown(value)} is no expression of columns", cure, self._line(name))

    def _put(self, name: str, attribute: str, expr: Expr) -> None:
        if name in self.served:
            cause = f"{self.cls.__name__}: two features are named {name!r}"
            refuse(cause, "Rename one of them", self._line(attribute))
        check_row(self.of, expr, f"the feature {name}")
        if kind(expr) in _NO_FEATURE:
            cause = f"the feature {name} is {kind_name(expr)}, which no model reads"
            refuse(cause, _NO_FEATURE[kind(expr)], expr.place)
        self.served[name] = expr

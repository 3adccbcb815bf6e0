"""What a pipeline's declarations say about the records that it reads."""

from __future__ import annotations

import types
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from stream_ml.language.expr import Expr
from stream_ml.language.pipeline import Pipeline
from tests.naive import Naive
from tests.naive.scopes import as_tuple

TEXTS = ("a", "b", "c")
NUMBERS = (1.0, 0.0, 2.5, -1.0, 0.1, 3.0, 1e6, -700.25, 1 / 3)
WHOLE = (1, 0, 2, 3, -1, 7)


class Declared:
    """Streams, fields and lengths of a pipeline.

    Attributes
    ----------
    spans
        Every length in ms that matters: windows, tiles, offsets, lateness, ahead, wait, delay.
    short
        The shortest of them.
    shared
        Fields of the event by which labels find it: id, key, on.
    texts, numbers
        Constants in the expressions, and some more.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        twin = Naive(pipeline)
        self.event, self.spec, self.label, self.label_spec = twin.event, twin.spec, twin.label, twin.label_spec
        self.others, self.tables = twin.others, twin.table_classes
        self.id: str | None = self.spec.id
        self.same_topic = self.label is not None and self.label_spec.topic == self.spec.topic
        on = (self.label_spec.on or ()) if self.label is not None else ()
        self.shared = tuple(dict.fromkeys((*((self.id,) if self.id else ()), *self.spec.key, *on)))
        self.whole_ids = self.id is not None and self.event.model_fields[self.id].annotation is int
        lengths = {self.spec.lateness_ms, self.spec.ahead_ms}
        if self.label is not None:
            lengths |= {self.label_spec.wait_ms, self.label_spec.delay_ms}
        for feeding in twin.windows.values():
            window = feeding.window
            lengths.add(window.offset)
            if window.how in ("tiles", "exact") and window.span is not None:
                lengths |= {window.span, -(-window.span // window.tiles)}
        self.spans: tuple[int, ...] = tuple(sorted(x for x in lengths if x > 0))
        self.short = self.spans[0]
        p = pipeline
        known = constants([*twin.served.values(), p.label, p.weight, p.when])
        self.texts = (*TEXTS, *sorted(x for x in known if isinstance(x, str)))
        numbers = {float(x) for x in known if isinstance(x, int | float) and abs(x) < 1e12}
        self.numbers = (*NUMBERS, *sorted(numbers | {x + 0.5 for x in numbers}))

    def alias(self, cls: Any, name: str) -> str:
        """Return what a field is called in a record."""
        return str(cls.model_fields[name].alias or name)

    def allows(self, cls: Any, name: str) -> tuple[Any, ...]:
        """Return the kinds of value that a field's annotation names; None for null."""
        return tuple(None if x is type(None) else x for x in alternatives(cls.model_fields[name].annotation))


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, anything else alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def candidates(cls: Any, name: str, texts: tuple[str, ...], numbers: tuple[float, ...]) -> Any:
    """Return values that a field accepts, the plainest first; datetime itself where it is a time."""
    info = cls.model_fields[name]
    annotation = next(x for x in alternatives(info.annotation) if x is not type(None))
    if annotation is datetime:
        return datetime
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    options = {str: texts, bool: (False, True), int: WHOLE, float: numbers}[annotation]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[annotation, *info.metadata] if info.metadata else annotation)
    return tuple(x for x in options if accepts(adapter, x))


def accepts(adapter: TypeAdapter[Any], x: Any) -> bool:
    try:
        adapter.validate_python(x)
    except ValidationError:
        return False
    return True


def constants(expressions: list[Any]) -> set[Any]:
    """Return the texts and numbers that expressions compare and compute with, within windows too."""
    found: set[Any] = set()
    for e in expressions:
        if isinstance(e, str | int | float) and not isinstance(e, bool):
            found.add(e)
        elif isinstance(e, Expr) and e.op in ("over", "before"):
            aggregate, _, by, at, *_ = e.args
            found |= constants([aggregate.value, aggregate.condition, *as_tuple(by), *as_tuple(at)])
        elif isinstance(e, Expr) and e.op not in ("column", "hour", "weekday", "month", "minute_of_day", "hashed"):
            found |= constants(list(e.args))
    return found

"""What expressions see, and the windows that records feed and read."""

from __future__ import annotations

from typing import Any

from stream_ml.language.expr import Expr

from .decode import Record
from .expr import evaluate, key_of, walk
from .windows import Item, Key, Value, Window, milliseconds


class Tables:
    """Look-up tables: for each key the record that arrived last."""

    def __init__(self) -> None:
        self.rows: dict[type, dict[Key, Record]] = {}

    def copy(self) -> Tables:
        """Return the tables as they are now."""
        made = Tables()
        made.rows = {cls: dict(rows) for cls, rows in self.rows.items()}
        return made

    def put(self, cls: type, key: Key, record: Record) -> None:
        self.rows.setdefault(cls, {})[key] = record

    def look_up(self, column: Expr, key: Key | None) -> Value:
        """Return a column of the row of a key; missing where there is none, or the key is missing."""
        cls, name = column.args
        record = self.rows.get(cls, {}).get(key) if key is not None else None
        return record.value(name) if record is not None else None


class RowScope:
    """Columns of one event, by name, whatever stream they were declared of; no windows."""

    def __init__(self, tables: Tables, event: Record) -> None:
        self.tables = tables
        self.event = event

    def column(self, cls: type, name: str) -> Value:
        return self.event.value(name)

    def lookup(self, column: Expr, keys: tuple[Expr, ...]) -> Value:
        return self.tables.look_up(column, key_of(keys, self))

    def window(self, expr: Expr) -> Value:
        message = f"{expr!r}: no window can be read here"
        raise TypeError(message)


class OutcomeScope(RowScope):
    """Columns of a label and of the event that it answers.

    A look-up by the event's columns alone gives what it gave when the event came; one by a column of the label gives
    what it gives when the outcome becomes known.
    """

    def __init__(self, tables: Tables, then: Tables, event: Record, label: Record) -> None:
        super().__init__(tables, event)
        self.then = then
        self.label = label

    def column(self, cls: type, name: str) -> Value:
        return self.label.value(name) if issubclass(self.label.cls, cls) else self.event.value(name)

    def lookup(self, column: Expr, keys: tuple[Expr, ...]) -> Value:
        of_label = any(issubclass(self.label.cls, cls) for key in keys for cls in columns_of(key))
        return (self.tables if of_label else self.then).look_up(column, key_of(keys, self))


class Feeding:
    """One window of the plan: what it is, who feeds it, and with what.

    Two appearances of the same expression are two windows with the same content.
    """

    def __init__(self, expr: Expr) -> None:
        aggregate, spans, by, at, offset, tiles, exact = expr.args
        self.aggregate, self.by = aggregate, by
        self.at = by if at is None else at
        self.before = expr.op == "before"
        self.window = Window(aggregate.kind, offset=length(offset), k=aggregate.k or 1)
        if spans:
            (span,) = spans
            self.window.tiles = tiles or 60
            if span == "forever":
                self.window.how = "forever"
            elif isinstance(span, int):
                self.window.how, self.window.span = "last", span
            else:
                self.window.how, self.window.span = "exact" if exact else "tiles", length(span)

    def add(self, scope: RowScope, time: int, arrival: int) -> None:
        """Take in one record or outcome, unless condition, value or key says no."""
        a = self.aggregate
        if a.condition is not None and not evaluate(a.condition, scope):
            return
        x = evaluate(a.value, scope) if a.value is not None else 1.0
        if x is not None:
            self.window.add(key_of(self.by, scope), Item(arrival, time, x))

    def key(self, scope: RowScope) -> Key | None:
        """Return the key under which an event reads."""
        return key_of(self.at, scope)


def length(span: Any) -> int:
    """Return a span in ms, from its text or from ms; nothing is 0."""
    return milliseconds(span) if isinstance(span, str) and span else int(span or 0)


class EventScope(RowScope):
    """An event being answered: its columns, look-ups, and its windows, each read at most once."""

    def __init__(self, tables: Tables, event: Record, read: dict[int, Value]) -> None:
        super().__init__(tables, event)
        self.read = read

    def window(self, expr: Expr) -> Value:
        return self.read[id(expr)]


def windows_in(expressions: list[Any]) -> dict[int, Feeding]:
    """Return every window that expressions hold, by the identity of its expression."""
    found: dict[int, Feeding] = {}
    for e in expressions:
        for part in walk(e):
            if part.op in ("over", "before"):
                found[id(part)] = Feeding(part)
    return found


def columns_of(e: Any) -> list[type]:
    """Return the classes whose columns an expression names, windows' own columns apart."""
    return [part.args[0] for part in walk(e) if part.op == "column"]


def tables_of(e: Any) -> list[type]:
    """Return the tables that an expression looks up, in windows' values, conditions and keys too."""
    found: list[type] = []
    for part in walk(e):
        if part.op == "lookup":
            found.append(part.args[0].args[0])
        if part.op in ("over", "before"):
            aggregate, _, by, at, *_ = part.args
            for inner in (aggregate.value, aggregate.condition, *as_tuple(by), *as_tuple(at)):
                found += tables_of(inner)
    return found


def as_tuple(x: Any) -> tuple[Any, ...]:
    """Return a tuple as it is, anything else as a tuple of one."""
    return x if isinstance(x, tuple) else (x,)

"""Expressions to registers: the same expression is computed once, in the first stage in which its inputs are ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from stream_ml.features.spec import Constant, HashStep, Program, Step, TableStep, TextStep
from stream_ml.kernels import vm
from stream_ml.language.expr import Expr
from stream_ml.language.kinds import Kind, kind

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
SECOND = 1000.0
Instruction = tuple[int, int, int, int, int]
TEXTS = ("lower", "length", "cross")
CALENDAR = ("hour", "weekday", "month", "minute_of_day")


@dataclass
class Stage:
    """What is computed once the state read before it is there."""

    steps: list[Instruction | TextStep | HashStep] = field(default_factory=list)
    lookups: dict[int, list[tuple[tuple[int, ...], int, int]]] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)

    def computed(self) -> list[Step]:
        """Return the steps with neighbouring instructions joined into programs."""
        found: list[Step] = []
        code: list[Instruction] = []
        for step in self.steps:
            if isinstance(step, tuple):
                code.append(step)
                continue
            if code:
                found.append(Program(tuple(code)))
                code = []
            found.append(step)
        if code:
            found.append(Program(tuple(code)))
        return found

    def looked_up(self) -> list[TableStep]:
        """Return one step a table."""
        return [TableStep(table, tuple(reads)) for table, reads in sorted(self.lookups.items())]


def signature(value: Any) -> Any:
    """Return what two equal expressions share, as something hashable."""
    if isinstance(value, Expr):
        return (value.op, *(signature(arg) for arg in value.args))
    if isinstance(value, tuple):
        return tuple(signature(arg) for arg in value)
    if hasattr(value, "condition") and hasattr(value, "source"):
        parts = (value.kind, value.k, value.source)
        return (*parts, signature(value.value), signature(value.condition))
    return (type(value).__name__, value)


class Registers:
    """Gives every expression its register and stage.

    Parameters
    ----------
    column
        Called with (class, field) for a raw column; returns its register.
    state
        Called with a look-up or window expression; returns (register, stage in which it can be read).
    """

    def __init__(
        self, column: Callable[[type[Any], str], int], state: Callable[[Expr], tuple[int, int]]
    ) -> None:
        self.count = 0
        self.constants: dict[Any, Constant] = {}
        self.zones: list[str] = []
        self.stages: list[Stage] = []
        self._column = column
        self._state = state
        self._known: dict[Any, tuple[int, int]] = {}

    def new(self) -> int:
        """Return a register of its own."""
        self.count += 1
        return self.count - 1

    def stage(self, number: int) -> Stage:
        """Return a stage, made where it does not exist yet."""
        while len(self.stages) <= number:
            self.stages.append(Stage())
        return self.stages[number]

    def of(self, value: Any) -> int:
        """Return the register of an expression or constant."""
        return self.place(value)[0]

    def place(self, value: Any) -> tuple[int, int]:
        """Return (register, stage) of an expression or constant."""
        if not isinstance(value, Expr):
            return self._constant(value), 0
        key = signature(value)
        if key not in self._known:
            self._known[key] = self._make(value)
        return self._known[key]

    def _constant(self, value: Any) -> int:
        if isinstance(value, datetime):
            value = float((value - EPOCH) // timedelta(milliseconds=1))
        plain = value if value is None or isinstance(value, str) else float(value)
        key = (isinstance(plain, str), plain)
        if key not in self.constants:
            self.constants[key] = Constant(self.new(), plain)
        return self.constants[key].register

    def _make(self, expr: Expr) -> tuple[int, int]:
        if expr.op == "column":
            return self._column(*expr.args), 0
        if expr.op in {"over", "before", "lookup"}:
            return self._state(expr)
        if expr.op in TEXTS:
            return self._text(expr)
        make = {"hashed": self._hash, "isin": self._isin, "bins": self._bins}.get(expr.op, self._plain)
        return make(expr)

    def _emit(self, stage: int, op: str, a: int, b: int = 0, c: int = 0, into: int | None = None) -> int:
        register = self.new() if into is None else into
        self.stage(stage).steps.append((vm.OPS[op], register, a, b, c))
        return register

    def _plain(self, expr: Expr) -> tuple[int, int]:
        op, args = expr.op, list(expr.args)
        if op in CALENDAR:
            register, stage = self.place(args[0])
            zone = args[1] if len(args) > 1 else "UTC"
            if zone not in self.zones:
                self.zones.append(zone)
            return self._emit(stage, op, register, self.zones.index(zone)), stage
        if op == "seconds":
            op, args = "scale", [args[0], SECOND]
        elif op == "round":
            args = [args[0], 10.0 ** (args[1] if len(args) > 1 else 0)]
        places = [self.place(arg) for arg in args]
        stage = max(place[1] for place in places)
        return self._emit(stage, op, *(place[0] for place in places)), stage

    def _isin(self, expr: Expr) -> tuple[int, int]:
        register, stage = self.place(expr.args[0])
        found = [self._emit(stage, "==", register, self.of(value)) for value in expr.args[1:]]
        result = found[0]
        for one in found[1:]:
            result = self._emit(stage, "|", result, one)
        return result, stage

    def _bins(self, expr: Expr) -> tuple[int, int]:
        register, stage = self.place(expr.args[0])
        result = self._constant(None)
        for edge in expr.args[1:]:
            result = self._emit(stage, "bin", register, self.of(edge), result)
        return result, stage

    def _parts(self, values: tuple[Any, ...]) -> tuple[tuple[tuple[int, str], ...], int]:
        kinds = {Kind.TEXT: "text", Kind.BOOL: "bool"}
        places = [self.place(value) for value in values]
        named = tuple(
            (place[0], kinds.get(kind(value), "number")) for place, value in zip(places, values, strict=True)
        )
        return named, max(place[1] for place in places)

    def _text(self, expr: Expr) -> tuple[int, int]:
        parts, stage = self._parts(expr.args)
        register = self.new()
        self.stage(stage).steps.append(TextStep(expr.op, register, parts))
        return register, stage

    def _hash(self, expr: Expr) -> tuple[int, int]:
        value, buckets = expr.args
        crossed = isinstance(value, Expr) and value.op == "cross"
        parts, stage = self._parts(value.args if crossed else (value,))
        register = self.new()
        self.stage(stage).steps.append(HashStep(register, parts, int(buckets), crossed))
        return register, stage

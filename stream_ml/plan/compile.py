"""From declarations to the scorer's spec."""

from __future__ import annotations

from typing import Any

from stream_ml.errors import DeclarationError
from stream_ml.features.spec import (
    OTHERS,
    OUTCOMES,
    OWN,
    FeatureSpec,
    Group,
    GroupStep,
    KeepStep,
    Source,
    Space,
    Step,
    TableSpec,
)
from stream_ml.kernels import vm
from stream_ml.language.expr import Column, Expr
from stream_ml.language.kinds import Kind, column_kind, kind
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import EventSpec, spec_of
from stream_ml.language.specs import TableSpec as DeclaredTable
from stream_ml.language.walk import as_tuple, is_label, parts, windows
from stream_ml.plan.registers import Registers
from stream_ml.plan.streams import join_of, streams_of
from stream_ml.plan.windows import window_of
from stream_ml.scorer.spec import Field, ScorerSpec
from stream_ml.scorer.store import PREDICTED


class Compiler:
    """Compiles one pipeline; `spec()` is the only verb."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.event = pipeline.event
        self.label = pipeline.label_stream
        self.registers = Registers(self._column, self._state)
        self.sources: dict[tuple[type[Any], str], Source] = {}
        self.others: list[type[Any]] = []
        self.tables: list[type[Any]] = []
        self.table_stage: dict[type[Any], int] = {}
        self.spaces: dict[Any, int] = {}
        self.space_list: list[Space] = []
        self.groups: dict[Any, int] = {}
        self.group_list: list[Group] = []
        self.kept: list[int] = []
        self.kept_texts: set[int] = set()
        self.echoes: dict[tuple[type[Any], str], int] = {}
        self.echoed: list[int] = []
        self.silent = -1
        self.lookup_columns: dict[int, int] = {}
        self._find_streams()

    # --- streams ----------------------------------------------------------------------------------------------------

    def _roots(self) -> list[Any]:
        p = self.pipeline
        return [*p.features.served.values(), p.label, p.weight, p.when, *p.slices, *p.carry]

    def _find_streams(self) -> None:
        """Give the streams their numbers: other events first, then tables."""
        for window in windows(*self._roots()):
            source = window.args[0].source
            if source is not self.event and not is_label(source) and source not in self.others:
                if not issubclass(self.event, source):
                    self.others.append(source)
        found = [expr for root in self._roots() for expr in _inside(root) if expr.op == "lookup"]
        for expr in found:
            table = expr.args[0].args[0]
            if table not in self.tables:
                self.tables.append(table)

    def number(self, cls: type[Any]) -> int:
        """Return the stream number of a class."""
        if cls is self.label:
            return OUTCOMES
        if issubclass(self.event, cls):
            return OWN
        if cls in self.others:
            return OTHERS + self.others.index(cls)
        return OTHERS + len(self.others) + self.tables.index(cls)

    def _column(self, cls: type[Any], name: str) -> int:
        if issubclass(self.event, cls):
            cls = self.event
        key = (cls, name)
        if key not in self.sources:
            text = column_kind(cls, name) is Kind.TEXT
            self.sources[key] = Source(self.number(cls), name, self.registers.new(), text)
            if cls is self.label and self._tells_silence(name):
                self.echoes[key] = self._echo(name, self.sources[key].register)
        return self.echoes.get(key, self.sources[key].register)

    def _tells_silence(self, name: str) -> bool:
        """Return whether a label column is the event's own where silence stands for the label."""
        silence = spec_of(self.label).silence  # type: ignore[arg-type, union-attr]
        field = self.label.model_fields[name]  # type: ignore[union-attr]
        unsaid = silence is not None and name not in silence and field.is_required()
        return unsaid and name in self.event.model_fields

    def _echo(self, name: str, raw: int) -> int:
        """Return the register of a label column that silence takes from the event's column of the same name."""
        if self.silent < 0:
            self.silent = self.registers.new()
        own = self._column(self.event, name)
        self.echoed.append(own)
        if column_kind(self.event, name) is Kind.TEXT:
            self.kept_texts.add(own)
        register = self.registers.new()
        self.registers.stage(0).steps.append((vm.OPS["when"], register, self.silent, own, raw))
        return register

    # --- what reads state -------------------------------------------------------------------------------------------

    def _state(self, expr: Expr) -> tuple[int, int]:
        return self._lookup(expr) if expr.op == "lookup" else self._window(expr)

    def _lookup(self, expr: Expr) -> tuple[int, int]:
        column, *keys = expr.args
        table, name = column.args
        declared: DeclaredTable = spec_of(table)  # type: ignore[assignment]
        places = [self.registers.place(part) for part in keys]
        stage = max(place[1] for place in places)
        if self.table_stage.setdefault(table, stage) != stage:
            cause = f"{expr!r} looks up {table.__name__} by what another look-up in {table.__name__} gave"
            raise DeclarationError(cause, "Put both columns into one table, or two tables under two names", expr.place)
        for part in declared.key:
            self._column(table, part)
        self._column(table, name)
        register = self.registers.new()
        number = self.tables.index(table)
        fields = self._table_fields(table)
        read = (tuple(place[0] for place in places), fields.index(name), register)
        self.registers.stage(stage).lookups.setdefault(number, []).append(read)
        self.lookup_columns[register] = number
        return register, stage + 1

    def _table_fields(self, table: type[Any]) -> list[str]:
        """Return the columns of a table that are looked up, in the order in which they were first."""
        key = spec_of(table).key  # type: ignore[union-attr]
        wanted = [expr.args[0].args[1] for root in self._roots() for expr in _inside(root) if expr.op == "lookup"
                  and expr.args[0].args[0] is table]  # fmt: skip
        return [name for name in dict.fromkeys(wanted) if name not in key] + [n for n in key if n in wanted]

    def _window(self, expr: Expr) -> tuple[int, int]:
        aggregate, _, by, at, *_ = expr.args
        stream = self.number(aggregate.source)
        writes = [self.registers.place(part) for part in as_tuple(by)]
        reads = [self.registers.place(self._seen(part)) for part in as_tuple(by if at is None else at)]
        value: Any = 1.0 if aggregate.value is None else aggregate.value
        if aggregate.condition is not None:
            value = Expr.build("when", (aggregate.condition, value, None), expr.place)
        value_register, value_stage = self.registers.place(value)
        stage = max([value_stage, *(place[1] for place in (*writes, *reads))])
        space = self._space(writes, reads, as_tuple(by))
        register = self.registers.new()
        text = aggregate.value is not None and kind(aggregate.value) is Kind.TEXT
        window = window_of(expr, register, text=text)
        key = (space, stream, value_register, stage)
        if key not in self.groups:
            self.groups[key] = len(self.group_list)
            self.group_list.append(Group(space, stream, value_register, ()))
            self.registers.stage(stage).groups.append(self.groups[key])
        at_group = self.groups[key]
        group = self.group_list[at_group]
        self.group_list[at_group] = Group(space, stream, value_register, (*group.windows, window))
        return register, stage + 1

    def _space(self, writes: list[tuple[int, int]], reads: list[tuple[int, int]], by: tuple[Any, ...]) -> int:
        key = (tuple(place[0] for place in writes), tuple(place[0] for place in reads))
        if key not in self.spaces:
            self.spaces[key] = len(self.space_list)
            self.space_list.append(Space(*key, tuple(kind(part) is Kind.TEXT for part in by)))
        return self.spaces[key]

    def _seen(self, expr: Any) -> Any:
        """Return a key as the reading event has it: columns of other streams become its own of the same name."""
        if isinstance(expr, Column) and not issubclass(self.event, expr.args[0]):
            return Column(self.event, expr.args[1])
        if not isinstance(expr, Expr) or isinstance(expr, Column):
            return expr
        args = tuple(arg if expr.op == "lookup" and i == 0 else self._seen(arg) for i, arg in enumerate(expr.args))
        return Expr.build(expr.op, args, expr.place)

    # --- what an outcome needs of its event --------------------------------------------------------------------------

    def _keep(self) -> None:
        """Mark the columns and look-ups of the event that outcomes read."""
        wanted: list[Any] = [self.pipeline.label, self.pipeline.weight]
        for window in windows(*self._roots()):
            aggregate, _, by, *_ = window.args
            if is_label(aggregate.source):
                wanted += [aggregate.value, aggregate.condition, *as_tuple(by)]
        leaves: list[int] = list(self.echoed)
        for expr in _leaves(wanted):
            if expr.op == "lookup" and not any(is_label(c.args[0]) for c in parts(expr) if isinstance(c, Column)):
                leaves.append(self.registers.of(expr))
            elif isinstance(expr, Column) and issubclass(self.event, expr.args[0]):
                leaves.append(self.registers.of(expr))
            else:
                continue
            if kind(expr) is Kind.TEXT:
                self.kept_texts.add(leaves[-1])
        self.kept = list(dict.fromkeys(leaves))

    @property
    def kept_order(self) -> list[int]:
        """Registers kept with an event, in the order of their columns."""
        first, steps = self._place_kept()
        return [*first.registers, *(register for table in sorted(steps) for register in steps[table].registers)]

    def _place_kept(self) -> tuple[KeepStep, dict[int, KeepStep]]:
        """Give kept registers their columns: raw ones first, then those of each table together."""
        raw = [register for register in self.kept if register not in self.lookup_columns]
        column = len(raw)
        steps: dict[int, KeepStep] = {}
        for table in sorted({self.lookup_columns[r] for r in self.kept if r in self.lookup_columns}):
            mine = tuple(r for r in self.kept if self.lookup_columns.get(r) == table)
            steps[table] = KeepStep(mine, column)
            column += len(mine)
        return KeepStep(tuple(raw), 0), steps

    # --- the whole ---------------------------------------------------------------------------------------------------

    def _field(self, name: str, expr: Any) -> Field:
        return Field(name, self.registers.of(expr), kind(expr).value)

    def spec(self) -> ScorerSpec:
        """Return the frozen spec."""
        p = self.pipeline
        event: EventSpec = spec_of(self.event)  # type: ignore[assignment]
        served = tuple(self._field(name, expr) for name, expr in p.features.served.items())
        slices = tuple(self._field(_name(expr), expr) for expr in p.slices)
        carry = tuple(self._field(_name(expr), expr) for expr in p.carry)
        keys = tuple(self._field(name, Column(self.event, name)) for name in event.key)
        ident = self._field(event.id, Column(self.event, event.id)) if event.id else None
        self._column(self.event, event.time)
        target = self._field("target", p.label) if p.label is not None else None
        weight = self.registers.of(p.weight) if p.weight is not None else -1
        when = self.registers.of(p.when) if p.when is not None else -1
        for table in self.tables:
            for name in spec_of(table).key:  # type: ignore[union-attr]
                self._column(table, name)
        self._keep()
        first, kept = self._place_kept()
        saved = tuple(dict.fromkeys(field.register for field in (*served, *slices, *keys)))
        steps: list[Step] = [first] if first.registers else []
        for stage in self.registers.stages:
            steps += stage.computed()
            for step in stage.looked_up():
                steps.append(step)
                steps += [kept[step.table]] if step.table in kept else []
            steps += [GroupStep(tuple(stage.groups))] if stage.groups else []
        features = FeatureSpec(
            registers=self.registers.count,
            constants=tuple(self.registers.constants.values()),
            sources=tuple(self.sources.values()),
            zones=tuple(self.registers.zones),
            steps=tuple(steps),
            spaces=tuple(self.space_list),
            groups=tuple(self.group_list),
            tables=tuple(self._table_spec(table) for table in self.tables),
            silent=self.silent,
        )
        return ScorerSpec(
            streams=streams_of(self.event, self.label, self.others, self.tables, self._columns_of),
            features=features,
            join=join_of(self.event, self.label, self._columns_of, p.pending_bytes),
            served=served,
            slices=slices,
            carry=carry,
            keys=keys,
            id=ident,
            target=target,
            weight=weight,
            when=when,
            saved=saved,
            first_saved=len(self.kept),
            slot_texts=self._slot_texts(saved, (*served, *slices, *keys), target),
        )

    def _slot_texts(self, saved: tuple[int, ...], fields: tuple[Field, ...], target: Field | None) -> tuple[int, ...]:
        """Return the columns of a slot that hold symbol codes: kept texts, saved texts, a predicted class."""
        texts = {field.register for field in fields if field.kind == "text"}
        kept = [i for i, register in enumerate(self.kept_order) if register in self.kept_texts]
        first = len(self.kept)
        found = kept + [first + i for i, register in enumerate(saved) if register in texts]
        if target is not None and target.kind == "text":
            found.append(first + len(saved) + PREDICTED)
        return tuple(found)

    def _table_spec(self, table: type[Any]) -> TableSpec:
        keys = spec_of(table).key  # type: ignore[union-attr]
        columns = self._table_fields(table)
        return TableSpec(
            self.number(table),
            tuple(self._column(table, name) for name in keys),
            tuple(self._column(table, name) for name in columns),
            tuple(column_kind(table, name) is Kind.TEXT for name in keys),
            tuple(column_kind(table, name) is Kind.TEXT for name in columns),
        )

    def _columns_of(self, cls: type[Any]) -> tuple[tuple[str, int, bool], ...]:
        return tuple((s.field, s.register, s.text) for (owner, _), s in self.sources.items() if owner is cls)


def _name(expr: Expr) -> str:
    return str(expr.args[1]) if isinstance(expr, Column) else repr(expr)


def _inside(root: Any) -> list[Expr]:
    """Return every expression in a tree, those inside windows too."""
    found = list(parts(root))
    for window in [expr for expr in found if expr.op in {"over", "before"}]:
        aggregate, _, by, at, *_ = window.args
        for inner in (aggregate.value, aggregate.condition, *as_tuple(by), *as_tuple(at)):
            found += _inside(inner)
    return found


def _leaves(roots: list[Any]) -> list[Expr]:
    """Return the columns and look-ups of expressions, look-ups not entered."""
    found: list[Expr] = []
    stack = [root for root in roots if isinstance(root, Expr)]
    while stack:
        expr = stack.pop()
        if expr.op in {"lookup", "column"}:
            found.append(expr)
            if expr.op == "lookup":
                continue
        stack += [arg for arg in expr.args if isinstance(arg, Expr)]
    return found


def compile_scorer(pipeline: Pipeline) -> ScorerSpec:
    """Compile a pipeline's declarations into what the scorer runs.

    Raises
    ------
    DeclarationError
        When two look-ups in one table depend on one another.
    """
    return Compiler(pipeline).spec()

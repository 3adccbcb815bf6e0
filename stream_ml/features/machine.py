"""The feature machine: operations of a turn in, registers filled, state moved on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.features import texts, zones
from stream_ml.features.lookup import Lookup
from stream_ml.features.space import Call, Keyed, Marks, together
from stream_ml.features.spec import (
    OUTCOMES,
    OWN,
    FeatureSpec,
    Group,
    GroupStep,
    HashStep,
    KeepStep,
    Program,
    TableStep,
    TextStep,
)
from stream_ml.kernels import moves, operations, vm
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]
Flags = NDArray[np.bool_]
ADD, LOOK = 1, 2
#: Numbers between two registers, so that the same row of many does not fall into one set of the cache.
APART = 72
#: Rows that the clock hand of forgetting passes for each record of a turn.
SWEEP = 2


@dataclass(slots=True)
class Slots:
    """Where saved registers of waiting events stand: kept[slot, column]."""

    kept: F8
    places: I8
    slots: I8
    known_places: I8
    known_slots: I8


class FeatureMachine:
    """Registers, key spaces and tables of one pipeline.

    Order of calls in a turn: lay the records' columns into :attr:`registers` (blanked by :meth:`begin`), then
    :meth:`run`.

    Parameters
    ----------
    capacity
        Most operations of a batch.
    lateness
        int64[streams]: how far an event of each stream may lie behind the newest one, ms.
    """

    def __init__(self, spec: FeatureSpec, symbols: Symbols, capacity: int, lateness: I8) -> None:
        self.spec = spec
        self._lateness = lateness
        self.symbols = symbols
        self.registers: F8 = np.full((max(spec.registers, 1), capacity + APART), np.nan)
        self._words = self.registers.view(np.int64)
        for constant in spec.constants:
            value = symbols.one(constant.value) if isinstance(constant.value, str) else constant.value
            self.registers[constant.register] = np.nan if value is None else value
        self._constants = [
            self.registers[c.register, :1] for c in spec.constants if isinstance(c.value, str)
        ]
        self._zones = zones.arrays(spec.zones)
        self._raw = np.array([source.register for source in spec.sources], np.int64)
        steps = {step.table: step for step in spec.steps if isinstance(step, TableStep)}
        self.tables = [Lookup(table, steps.get(i, TableStep(i, ()))) for i, table in enumerate(spec.tables)]
        self.spaces = [
            Keyed(space, [group for group in spec.groups if group.space == i]) for i, space in enumerate(spec.spaces)
        ]
        self._calls = _schedule(spec, self.spaces)
        self._programs = {
            i: np.array(step.code, np.int64).reshape(-1, 5)
            for i, step in enumerate(spec.steps)
            if isinstance(step, Program)
        }
        self._keeps = {i: np.array(s.registers, np.int64) for i, s in enumerate(spec.steps) if isinstance(s, KeepStep)}
        written = [r.register for g in spec.groups for w in g.windows for r in w.readings]
        self._read = np.array(written, np.int64)

    def begin(self, rows: int) -> None:
        """Blank what the turn's records will fill."""
        moves.blank(self.registers, self._raw, rows)
        moves.blank(self.registers, self._read, rows)

    def run(self, ops: I8, slots: Slots, marks: Marks) -> None:
        """Carry out every step over a turn's operations (kernels.join), in order."""
        rows = ops.shape[0]
        flags = _Flags(ops, marks)
        for i, step in enumerate(self.spec.steps):
            if isinstance(step, Program):
                vm.run(self._programs[i], self.registers, *self._zones, rows)
            elif isinstance(step, KeepStep):
                which = self._keeps[i]
                moves.save(self.registers, which, slots.places, slots.slots, slots.kept, step.column)
                moves.load(self.registers, which, slots.known_places, slots.known_slots, slots.kept, step.column)
            elif isinstance(step, GroupStep):
                self._windows(i, flags, rows, marks)
            elif isinstance(step, TableStep):
                roles = flags.of_table(self.spec.tables[step.table].stream)
                self.tables[step.table].run(self.registers, self._words, roles, rows)
            elif isinstance(step, TextStep):
                texts.run_text(step, self.registers, rows, self.symbols)
            elif isinstance(step, HashStep):
                texts.run_hash(step, self.registers, rows, self.symbols)

    def _windows(self, step: int, flags: _Flags, rows: int, marks: Marks) -> None:
        for space, calls, streams in self._calls[step]:
            space.resolve(self.registers, self._words, flags.roles(streams), rows)
            for call in calls:
                oldest, lateness = int(marks[call.stream]), int(self._lateness[call.stream])
                roles, times = flags.of(call.stream), flags.times(call.stream)
                space.run(call, roles, times, self.registers, rows, oldest, lateness)

    def forget(self, rows: int, marks: Marks) -> None:
        """Let the clock hands pass `SWEEP` keys for each record."""
        for space in self.spaces:
            space.forget(SWEEP * rows, marks)

    def codes(self) -> Iterator[NDArray[np.generic]]:
        """Yield arrays of the symbol codes in use."""
        yield from self._constants
        for space in self.spaces:
            yield from space.codes()
        for table in self.tables:
            yield from table.codes()

    @property
    def nbytes(self) -> int:
        """Bytes of state in use."""
        return sum(space.nbytes for space in self.spaces) + sum(table.nbytes for table in self.tables)


Scheduled = list[tuple[Keyed, list[Call], frozenset[int]]]


def _schedule(spec: FeatureSpec, spaces: list[Keyed]) -> dict[int, Scheduled]:
    """Return for each group step its calls by key space, in the order of the spaces."""
    found: dict[int, Scheduled] = {}
    for i, step in enumerate(spec.steps):
        if isinstance(step, GroupStep):
            wanted = [spec.groups[group] for group in step.groups]
            found[i] = []
            for number, space in enumerate(spaces):
                members = [group for group in wanted if group.space == number]
                calls = together([call for call in space.calls if any(_belongs(call, group) for group in members)])
                if calls:
                    found[i].append((space, calls, frozenset(call.stream for call in calls)))
    return found


def _belongs(call: Call, group: Group) -> bool:
    return call.stream == group.stream and group.value in call.values


class _Flags:
    """For each source stream: which of the turn's operations write, which read, and when."""

    def __init__(self, ops: I8, marks: Marks) -> None:
        self._kind: I8 = np.ascontiguousarray(ops[:, operations.OP])
        self._stream: I8 = ops[:, operations.OP_STREAM]
        self._event: Flags = self._kind == operations.OP_EVENT
        self._on_time: Flags = self._event & (ops[:, operations.OP_LATE] == 0)
        self._event_time = np.ascontiguousarray(ops[:, operations.OP_TIME])
        self._moment = np.ascontiguousarray(ops[:, operations.OP_MOMENT])
        self._marks = marks
        self._lateness = ops[:, operations.OP_SEQ]
        self._made: dict[int, U1] = {}

    def writes(self, stream: int) -> Flags:
        """Return which operations write into windows of this source."""
        if stream == OWN:
            return self._on_time
        if stream == OUTCOMES:
            outcomes: Flags = self._kind == operations.OP_OUTCOME
            return outcomes
        others: Flags = (self._kind == operations.OP_OTHER) & (self._stream == stream)
        return others

    def of(self, stream: int) -> U1:
        """Return ADD and LOOK flags for windows of this source."""
        if stream not in self._made:
            self._made[stream] = self._event.astype(np.uint8) * np.uint8(LOOK) | self.writes(stream).astype(np.uint8)
        return self._made[stream]

    def times(self, stream: int) -> I8:
        """Return the moments by which windows of this source are read and written."""
        if stream in {OWN, OUTCOMES}:
            return self._moment if stream == OUTCOMES else self._event_time
        others = self.writes(stream)
        oldest = int(self._marks[stream])
        lags = np.maximum.accumulate(np.where(others, self._event_time - self._lateness, oldest))
        return np.where(others, self._event_time, np.maximum(self._event_time, lags))

    def roles(self, streams: frozenset[int]) -> U1:
        """Return for a key space: bit 1 for operations that read, 2 for those that write."""
        roles: U1 = self._event.astype(np.uint8)
        for stream in streams:
            roles |= self.writes(stream).view(np.uint8) << np.uint8(1)
        return roles

    def of_table(self, stream: int) -> U1:
        """Return for a table: 2 for its rows, 1 for every record that may look something up."""
        roles = np.ones(self._kind.size, np.uint8)
        is_row = self._kind == operations.OP_TABLE
        roles[is_row] = 0
        roles[is_row & (self._stream == stream)] = 2
        return roles



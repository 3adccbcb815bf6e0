"""The scorer as a machine: records in, batches of operations with their features out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_ml.features.machine import FeatureMachine, Slots
from stream_ml.features.spec import OUTCOMES, OWN
from stream_ml.kernels import join, moves, operations
from stream_ml.kernels.labels import L_DELAYED, L_HELD, L_STATE, L_WORD
from stream_ml.kernels.waiting import R_ON, R_WORD
from stream_ml.schema.lines import taken as picked
from stream_ml.schema.records import Fed
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.intake import Intake, Taken
from stream_ml.scorer.spec import ScorerSpec
from stream_ml.scorer.store import ASKED, AT, LATE, RECEIVED, SILENT, Store

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
#: Operations carried out at once.
CAPACITY = 4096


class Origin(NamedTuple):
    """Where a label came from, kept while it waits so that it can become a dead letter."""

    topic: str
    offset: int
    received: int
    raw: bytes


@dataclass(slots=True)
class Batch:
    """One batch of operations with everything computed but the model's part.

    Parameters
    ----------
    ops
        int64[g, 10] (kernels.join).
    events, outcomes
        Operations that are events, and known outcomes of asked events whose target is there.
    asked
        Which of the events are asked for a prediction.
    target, weight
        Of each outcome.
    unmatched, ahead
        Expired labels as (order, origin); events dated too far ahead as (order, stream, row).
    gave_up
        Where the budget of waiting events is worth an alarm: (operation, how many were given up so far).
    taken
        The records of the turn.
    """

    ops: I8
    taken: Taken
    events: I8
    asked: NDArray[np.bool_]
    outcomes: I8
    target: F8
    weight: F8
    no_target: int
    unmatched: list[tuple[int, Origin]] = field(default_factory=list)
    ahead: list[tuple[int, int, int]] = field(default_factory=list)
    gave_up: list[tuple[int, int]] = field(default_factory=list)


def reads_outcomes(spec: ScorerSpec) -> bool:
    """Return whether features read what became of events: windows of the label."""
    return any(group.stream == OUTCOMES for group in spec.features.groups)


class Scorer:
    """Decode, features and join of one partition.

    Order of calls: :meth:`take` with the records of a turn, then :meth:`batches`; the caller scores each batch before
    it asks for the next.

    Parameters
    ----------
    examples
        Whether events are kept until their outcome is known, for an example. Without, outcomes are waited for only
        where windows read them, and nothing is told of labels without an event.
    """

    def __init__(
        self, spec: ScorerSpec, symbols: Symbols, capacity: int = CAPACITY, *, examples: bool = True
    ) -> None:
        self.spec = spec
        self.symbols = symbols
        self._examples = examples
        self.store = Store(spec, capacity, examples=examples, outcomes=examples or reads_outcomes(spec))
        self.intake = Intake(spec, symbols, self.store)
        self.features = FeatureMachine(
            spec.features, symbols, capacity, self.store.streams[:, operations.S_LATENESS]
        )
        self.origins: dict[int, Origin] = {}
        self.now = 0
        self._saved = np.array(spec.saved, np.int64)
        self._time = next(
            (s.register for s in spec.features.sources if s.stream == OWN and s.field == spec.streams[0].time), 0
        )

    @property
    def registers(self) -> F8:
        """The registers of the last batch."""
        return self.features.registers

    def take(self, fed: Fed, tick: int | None = None) -> Taken:
        """Decode the records of a turn; their received times never go back."""
        return self.intake.take(fed, tick)

    def batches(self, taken: Taken) -> Iterator[Batch]:
        """Carry the records out, a batch of operations at a time."""
        store, records = self.store, taken.records
        begin = 0
        while begin < records.shape[0]:
            store.make_room()
            marks = self.marks()
            begin = join.join(
                records, begin, store.ops, store.ring, store.ids.table, store.waiting, store.early, store.labels,
                store.queues, store.stacks, store.streams, store.scalars, store.params, store.counters,
            )  # fmt: skip
            store.joined()
            count = int(store.scalars[operations.NOPS])
            if count:
                ops = store.ops[:count]
                yield self._batch(ops, taken, marks)
                self.now = max(self.now, int(ops[-1, operations.OP_MOMENT]))
                self.features.forget(count, self.marks())
            if self._examples:
                self._release()
        if records.shape[0]:
            self.now = max(self.now, int(records[-1, operations.RECEIVED]))
        self._hold(taken)

    def marks(self) -> I8:
        """Return for each stream the oldest moment that a reader may still ask for."""
        marks = self.store.streams[:, operations.S_NEWEST] - self.store.streams[:, operations.S_LATENESS]
        if marks.size > OUTCOMES:
            marks[OUTCOMES] = self.now
        return marks

    def _batch(self, ops: I8, taken: Taken, marks: I8) -> Batch:
        kinds = np.ascontiguousarray(ops[:, operations.OP])
        events = np.flatnonzero(kinds == operations.OP_EVENT)
        outcomes = np.flatnonzero(kinds == operations.OP_OUTCOME)
        self.features.begin(ops.shape[0])
        self._lay(ops, taken, events, outcomes, kinds)
        store, registers = self.store, self.features.registers
        event_slots, outcome_slots = ops[events, operations.OP_SLOT], ops[outcomes, operations.OP_SLOT]
        self.features.run(ops, Slots(store.kept, events, event_slots, outcomes, outcome_slots), marks)
        asked = self._asked(events)
        batch = Batch(ops, taken, events, asked, outcomes[:0], np.zeros(0), np.zeros(0), 0)
        if self._examples:
            moves.save(registers, self._saved, events, event_slots, store.kept, self.spec.first_saved)
            own = np.empty((4, events.size))
            own[AT] = registers[self._time].take(events)
            own[RECEIVED] = ops[events, operations.OP_MOMENT]
            own[LATE] = ops[events, operations.OP_LATE]
            own[ASKED] = asked
            moves.put(own, event_slots, store.kept, store.own)
            self._outcomes(batch, outcomes, outcome_slots)
        for at in np.flatnonzero(kinds >= operations.OP_UNMATCHED).tolist():
            row = int(ops[at, operations.OP_ROW])
            order = int(taken.orders[ops[at, operations.OP_RECORD]])
            if kinds[at] == operations.OP_UNMATCHED:
                if self._examples:
                    known = self.origins.pop(row, None)
                    origin = known or self._origin(taken, int(np.flatnonzero(taken.labels == row)[0]))
                    batch.unmatched.append((order, origin))
            elif kinds[at] == operations.OP_GAVE_UP:
                batch.gave_up.append((at, row))
            else:
                batch.ahead.append((order, int(ops[at, operations.OP_STREAM]), row))
        return batch

    def _asked(self, events: I8) -> NDArray[np.bool_]:
        if self.spec.when < 0:
            return np.ones(events.size, np.bool_)
        wanted: NDArray[np.bool_] = self.features.registers[self.spec.when, events] == 1.0
        return wanted

    def _outcomes(self, batch: Batch, outcomes: I8, slots: I8) -> None:
        """Keep the outcomes that give an example: asked for, and with a target."""
        if self.spec.target is None or not outcomes.size:
            return
        registers = self.features.registers
        target = registers[self.spec.target.register].take(outcomes)
        asked = self.store.kept[slots, self.store.own + ASKED] == 1.0
        there = ~np.isnan(target)
        good = asked & there
        batch.no_target = int(np.count_nonzero(asked)) - int(np.count_nonzero(good))
        if not good.all():
            outcomes, target = outcomes[good], target[good]
        batch.outcomes, batch.target = outcomes, target
        weighted = self.spec.weight >= 0
        batch.weight = registers[self.spec.weight].take(outcomes) if weighted else np.ones(outcomes.size)

    def _lay(self, ops: I8, taken: Taken, events: I8, outcomes: I8, kinds: I8) -> None:
        """Lay the columns of a batch's records into the registers."""
        registers = self.features.registers
        for number, columns in taken.columns.items():
            if number == OUTCOMES:
                continue
            if number == OWN:
                at = events
            else:
                rows_of = (kinds == operations.OP_OTHER) | (kinds == operations.OP_TABLE)
                at = np.flatnonzero(rows_of & (ops[:, operations.OP_STREAM] == number))
            rows = ops[at, operations.OP_ROW]
            for register, column in columns.items():
                registers[register][at] = column.take(rows)
        if outcomes.size:
            labels = np.maximum(ops[outcomes, operations.OP_ROW], SILENT)
            for j, (_, register, _) in enumerate(self.spec.streams[1].columns):
                registers[register][outcomes] = self.store.label_values[labels, j]
            if self.spec.features.silent >= 0:
                registers[self.spec.features.silent] = np.nan
                registers[self.spec.features.silent][outcomes] = ops[outcomes, operations.OP_ROW] < 0

    def _origin(self, taken: Taken, row: int, raw: bytes | None = None) -> Origin:
        record = int(taken.index[OUTCOMES][row])
        fed = taken.fed
        name = fed.names[int(fed.topics[record])]
        raw = fed.values[record] if raw is None else raw
        return Origin(name, int(fed.offsets[record]), int(fed.received[record]), raw)

    def _release(self) -> None:
        """Forget where labels came from whose place has just become free."""
        freed = self.store.stacks[3, : int(self.store.scalars[operations.LFREED])]
        if len(self.origins) < freed.size:
            held = np.fromiter(self.origins, np.int64, len(self.origins))
            freed = held[np.isin(held, freed)]
        for label in freed.tolist():
            self.origins.pop(label, None)

    def _hold(self, taken: Taken) -> None:
        """Remember where the turn's labels that still wait came from."""
        if not taken.labels.size or not self._examples:
            return
        states = self.store.labels[taken.labels, L_STATE]
        waits = (states == L_HELD) | (states == L_DELAYED)
        rows = np.flatnonzero(waits)
        raws = list(picked(taken.fed.values, taken.index[OUTCOMES][rows]))
        for row, raw in zip(rows.tolist(), raws, strict=True):
            self.origins[int(taken.labels[row])] = self._origin(taken, row, raw)

    def codes(self) -> Iterator[NDArray[np.generic]]:
        """Yield arrays of the symbol codes in use."""
        yield from self.features.codes()
        yield self.intake.silent_codes()
        store, spec = self.store, self.spec
        top = int(store.scalars[operations.SLOTS])
        for column in spec.slot_texts:
            if column < store.width:  # without examples slots are short
                yield store.kept[:top, column]
        for column in spec.label_texts:
            yield store.label_values[: store.label_top, column]
        seqs = np.arange(int(store.scalars[operations.TAIL]), int(store.scalars[operations.HEAD]))
        places = seqs & (store.ring.shape[0] - 1)
        for column, text in ((R_WORD, spec.id is not None and spec.id.kind == "text"), (R_ON, self.intake.on_text)):
            if text:
                yield store.ring[places, column].view(np.float64)
                yield np.ascontiguousarray(store.labels[: store.label_top, L_WORD]).view(np.float64)

"""What the join reads and writes, column by column: records in, operations out, positions, parameters, counts."""

from __future__ import annotations

from stream_ml.kernels.arrays import Ints
from stream_ml.kernels.jit import kernel

# Columns of a record.
KIND, ROW, STREAM, RECEIVED, TIME, WORD, ON, PAIR = range(8)
# What stands beside an event that is also a label record: nothing; its `on=` label before it; its id's label after it.
ALONE, BEFORE, AFTER = range(3)
# Kinds of record.
TICK, EVENT, LABEL, ANSWER, TABLE, OTHER = range(6)
# Columns of an operation.
OP, OP_ROW, OP_SLOT, OP_SEQ, OP_MOMENT, OP_TIME, OP_LATE, OP_FATE, OP_STREAM, OP_RECORD = range(10)
# Kinds of operation.
OP_EVENT, OP_OUTCOME, OP_TABLE, OP_OTHER, OP_UNMATCHED, OP_AHEAD, OP_GAVE_UP = range(7)
# How many events are given up between two alarms about it.
ALARM_EVERY = 1000
# Fates.
BY_LABEL, BY_SILENCE, BY_NONE = range(3)
# Scalars of the state.
(
    HEAD, TAIL, LIVE, SLOTS, FREE, FREED, LFREE, LFREED, D_HEAD, D_TAIL, H_HEAD, H_TAIL, OLDEST, NOPS, RECORD,
) = range(15)  # fmt: skip
# Parameters.
WAIT, HORIZON, DELAY, HAS_ID, HAS_LABEL, BY_ON, SILENCE, BUDGET = range(8)
# Columns of a stream: newest event time seen, lateness, ahead.
S_NEWEST, S_LATENESS, S_AHEAD = range(3)
# Counters.
COUNTERS = (
    "events", "duplicate", "late", "other_events", "other_late", "labels", "joined", "again", "held", "idle",
    "unmatched", "silence", "dropped", "given_up", "orphan", "ahead", "other_duplicate", "tables",
)  # fmt: skip
(
    C_EVENTS, C_DUPLICATE, C_LATE, C_OTHER, C_OTHER_LATE, C_LABELS, C_JOINED, C_AGAIN, C_HELD, C_IDLE, C_UNMATCHED,
    C_SILENCE, C_DROPPED, C_GIVEN_UP, C_ORPHAN, C_AHEAD, C_OTHER_DUPLICATE, C_TABLES,
) = range(len(COUNTERS))  # fmt: skip
NOTHING = -(1 << 60)


@kernel(inlined=True)
def emit(ops: Ints, scalars: Ints, op: int, row: int, slot: int, seq: int, moment: int, fate: int) -> int:
    """Write one operation; returns its place."""
    at: int = scalars[NOPS]
    ops[at, OP] = op
    ops[at, OP_ROW] = row
    ops[at, OP_SLOT] = slot
    ops[at, OP_SEQ] = seq
    ops[at, OP_MOMENT] = moment
    ops[at, OP_TIME] = moment
    ops[at, OP_LATE] = 0
    ops[at, OP_FATE] = fate
    ops[at, OP_STREAM] = 0
    ops[at, OP_RECORD] = scalars[RECORD]
    scalars[NOPS] = at + 1
    return at

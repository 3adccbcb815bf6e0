"""Events that wait for their label: a ring in arrival order, and a list of those that wait for the same `on=` value."""

from __future__ import annotations

from stream_ml.kernels.arrays import Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.operations import (
    ALARM_EVERY,
    BY_NONE,
    BY_ON,
    BY_SILENCE,
    C_DROPPED,
    C_GIVEN_UP,
    C_SILENCE,
    FREED,
    HAS_ID,
    HEAD,
    LIVE,
    OLDEST,
    OP_GAVE_UP,
    OP_OUTCOME,
    SILENCE,
    SLOTS,
    TAIL,
    WAIT,
    emit,
)
from stream_ml.kernels.table import find, remove

# Columns of the ring.
R_WORD, R_RECEIVED, R_STATE, R_SLOT, R_NEXT, R_PREV, R_ON, R_DIRTY = range(8)
# States of a waiting event.
WAITING, ANSWERED, GIVEN_UP = 1, 2, 3


@kernel
def link(ring: Ints, waiting: Ints, scalars: Ints, seq: int, on: int) -> None:
    """Append event `seq` to the list of those that wait for `on` (circular, first known by the table)."""
    last = ring.shape[0] - 1
    at = find(waiting, on)
    here = seq & last
    if at < 0:
        at = -1 - at
        waiting[at, 0] = on
        waiting[at, 1] = seq + 1
        ring[here, R_NEXT] = seq
        ring[here, R_PREV] = seq
        return
    first = waiting[at, 1] - 1
    tail = ring[first & last, R_PREV]
    ring[tail & last, R_NEXT] = seq
    ring[first & last, R_PREV] = seq
    ring[here, R_NEXT] = first
    ring[here, R_PREV] = tail


@kernel
def unlink(ring: Ints, waiting: Ints, seq: int) -> None:
    """Take event `seq` out of its list."""
    last = ring.shape[0] - 1
    here = seq & last
    at = find(waiting, ring[here, R_ON])
    after = ring[here, R_NEXT]
    if after == seq:
        remove(waiting, at)
        return
    before = ring[here, R_PREV]
    ring[before & last, R_NEXT] = after
    ring[after & last, R_PREV] = before
    if waiting[at, 1] == seq + 1:
        waiting[at, 1] = after + 1


@kernel(inlined=True)
def finish(ring: Ints, waiting: Ints, stacks: Ints, scalars: Ints, params: Ints, seq: int, state: int) -> None:
    """End the waiting of event `seq`: its slot is free after this batch of operations."""
    here = seq & (ring.shape[0] - 1)
    ring[here, R_STATE] = state
    ring[here, R_DIRTY] = 1
    stacks[1, scalars[FREED]] = ring[here, R_SLOT]
    stacks[4, scalars[FREED]] = seq
    scalars[FREED] += 1
    scalars[LIVE] -= 1
    if params[BY_ON] != 0:
        unlink(ring, waiting, seq)


@kernel
def give_up(
    ops: Ints, ring: Ints, waiting: Ints, stacks: Ints, scalars: Ints, params: Ints, counters: Ints, now: int
) -> None:
    """Give up the event that has waited longest; the first, and one in `ALARM_EVERY`, is told as an operation."""
    last = ring.shape[0] - 1
    seq = max(scalars[OLDEST], scalars[TAIL])
    while ring[seq & last, R_STATE] != WAITING:
        seq += 1
    scalars[OLDEST] = seq + 1
    finish(ring, waiting, stacks, scalars, params, seq, GIVEN_UP)
    counters[C_GIVEN_UP] += 1
    if counters[C_GIVEN_UP] % ALARM_EVERY == 1:
        emit(ops, scalars, OP_GAVE_UP, counters[C_GIVEN_UP], -1, seq, now, BY_NONE)


@kernel(inlined=True)
def enter(ids: Ints, word: int, seq: int) -> None:
    """Note event `seq` as the one of its id."""
    at = find(ids, word)
    if at < 0:
        at = -1 - at
    ids[at, 0] = word
    ids[at, 1] = seq + 1


@kernel(inlined=True)
def leave(ids: Ints, word: int, seq: int) -> None:
    """Forget the id of event `seq`, unless another one has it."""
    at = find(ids, word)
    if at >= 0 and ids[at, 1] == seq + 1:
        remove(ids, at)


@kernel(signature="void(i8[:,::1], i8[:,::1], i8, i8)")
def enter_all(ring: Ints, ids: Ints, begin: int, end: int) -> None:
    """Note the ids of events begin .. end of the ring."""
    for seq in range(begin, end):
        enter(ids, ring[seq & (ring.shape[0] - 1), R_WORD], seq)


@kernel(signature="void(i8[:,::1], i8[:,::1], i8, i8)")
def leave_all(ring: Ints, ids: Ints, begin: int, end: int) -> None:
    """Forget the ids of events begin .. end, which have just left the ring."""
    for seq in range(begin, end):
        leave(ids, ring[seq & (ring.shape[0] - 1), R_WORD], seq)


@kernel(inlined=True)
def time_out(
    ops: Ints, ring: Ints, ids: Ints, waiting: Ints, stacks: Ints, scalars: Ints, params: Ints, counters: Ints
) -> None:
    """Let the oldest event of the ring go: by silence or dropped where it still waits."""
    seq = scalars[TAIL]
    here = seq & (ring.shape[0] - 1)
    if ring[here, R_STATE] == WAITING:
        if params[SILENCE] != 0:
            moment = ring[here, R_RECEIVED] + params[WAIT]
            emit(ops, scalars, OP_OUTCOME, -1, ring[here, R_SLOT], seq, moment, BY_SILENCE)
            counters[C_SILENCE] += 1
        else:
            counters[C_DROPPED] += 1
        finish(ring, waiting, stacks, scalars, params, seq, ANSWERED)
    if params[HAS_ID] != 0:
        leave(ids, ring[here, R_WORD], seq)
    scalars[TAIL] = seq + 1


@kernel(signature="void(i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[::1], i8[::1])")
def relay(rows: Ints, ring: Ints, ids: Ints, waiting: Ints, scalars: Ints, params: Ints) -> None:
    """Append saved ring rows at the head: ids, slots and waiting lists are made anew."""
    for i in range(rows.shape[0]):
        seq = scalars[HEAD]
        here = seq & (ring.shape[0] - 1)
        for j in range(rows.shape[1]):
            ring[here, j] = rows[i, j]
        ring[here, R_SLOT] = -1
        scalars[HEAD] = seq + 1
        if params[HAS_ID] != 0:
            enter(ids, rows[i, R_WORD], seq)
        if rows[i, R_STATE] == WAITING:
            ring[here, R_SLOT] = scalars[SLOTS]
            scalars[SLOTS] += 1
            scalars[LIVE] += 1
            if params[BY_ON] != 0:
                link(ring, waiting, scalars, seq, rows[i, R_ON])

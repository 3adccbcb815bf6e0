"""The join: records in order become operations: an event seen, an outcome known, a table's row, a deadline passed.

Everything here is integers. Events that wait for their label stand in a ring in arrival order (all wait equally long,
so deadlines pass in that order); their features stand elsewhere, in a slot. Labels that came before their event are
held in a queue, delayed ones in another. A kernel call stops when the operations are full and goes on where it stopped.
"""

from __future__ import annotations

from stream_ml.kernels.arrays import Ints
from stream_ml.kernels.arrivals import foresee_events, foresee_ids, take_event, take_other
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.labels import (
    L_DELAYED,
    L_FRESH,
    L_HELD,
    L_KNOWN,
    L_SEQ,
    L_STATE,
    L_WORD,
    answer,
    free_label,
    join_label,
    unheard,
)
from stream_ml.kernels.operations import (
    BY_LABEL,
    BY_NONE,
    BY_ON,
    C_LABELS,
    C_UNMATCHED,
    D_HEAD,
    D_TAIL,
    DELAY,
    EVENT,
    FREE,
    FREED,
    H_HEAD,
    H_TAIL,
    HEAD,
    HORIZON,
    KIND,
    LABEL,
    LFREE,
    LFREED,
    NOPS,
    OP_STREAM,
    OP_TABLE,
    OP_UNMATCHED,
    OTHER,
    RECEIVED,
    RECORD,
    ROW,
    STREAM,
    TABLE,
    TAIL,
    TICK,
    WAIT,
    emit,
)
from stream_ml.kernels.table import find, remove
from stream_ml.kernels.waiting import (
    R_RECEIVED,
    time_out,
)

#: So many records ahead their events are brought near, and twice as many ahead their ids.
AHEAD = 16


@kernel(inlined=True)
def fire(
    ops: Ints,
    ring: Ints,
    ids: Ints,
    waiting: Ints,
    early: Ints,
    labels: Ints,
    queues: Ints,
    stacks: Ints,
    scalars: Ints,
    params: Ints,
    counters: Ints,
    now: int,
) -> bool:
    """Let every deadline pass that `now` passes, in the order (moment, delayed, time-outs, held); False when full."""
    mask = queues.shape[1] - 1
    never = 1 << 62
    while True:
        if scalars[NOPS] + 1 >= ops.shape[0]:
            return False
        delayed = never
        if scalars[D_TAIL] < scalars[D_HEAD]:
            delayed = labels[queues[0, scalars[D_TAIL] & mask], L_KNOWN]
        timed = never
        if scalars[TAIL] < scalars[HEAD]:
            timed = ring[scalars[TAIL] & (ring.shape[0] - 1), R_RECEIVED] + params[HORIZON]
        expires = never
        if scalars[H_TAIL] < scalars[H_HEAD]:
            expires = labels[queues[1, scalars[H_TAIL] & mask], L_KNOWN] + params[WAIT]
        if delayed <= now and delayed <= timed and delayed <= expires:
            label = queues[0, scalars[D_TAIL] & mask]
            if params[BY_ON] != 0:
                if not answer(ops, ring, waiting, labels, stacks, scalars, params, counters, label, delayed):
                    return False
                scalars[D_TAIL] += 1
            else:
                scalars[D_TAIL] += 1
                join_label(ops, ring, ids, early, labels, queues, stacks, scalars, params, counters, label, delayed)
        elif timed < now and timed <= expires:
            time_out(ops, ring, ids, waiting, stacks, scalars, params, counters)
        elif expires < now:
            label = queues[1, scalars[H_TAIL] & mask]
            scalars[H_TAIL] += 1
            if labels[label, L_STATE] == L_HELD:
                remove(early, find(early, labels[label, L_WORD]))
                emit(ops, scalars, OP_UNMATCHED, label, -1, -1, expires, BY_LABEL)
                counters[C_UNMATCHED] += 1
            free_label(labels, stacks, scalars, label)
        else:
            return True


@kernel(
    signature="i8(i8[:,::1], i8, i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], "
    "i8[:,::1], i8[:,::1], i8[::1], i8[::1], i8[::1])"
)
def join(
    records: Ints,
    begin: int,
    ops: Ints,
    ring: Ints,
    ids: Ints,
    waiting: Ints,
    early: Ints,
    labels: Ints,
    queues: Ints,
    stacks: Ints,
    streams: Ints,
    scalars: Ints,
    params: Ints,
    counters: Ints,
) -> int:
    """Take the records from `begin` on, in order, and write what happens as operations.

    Parameters
    ----------
    records
        int64[n, 8], see the columns above.
    ops
        Out: int64[capacity, 10].
    ring, ids, waiting, early
        Events in arrival order; id to sequence; waiting list of an `on=` value; held label of an id.
    labels, queues, stacks
        Labels in store; delayed and held queues; free and just freed slots, free and just freed labels, the events
        whose slots were just freed.
    streams, scalars, params, counters
        A row a stream; positions; what the pipeline declares; counts.

    Returns
    -------
    int
        The first record not done, because the operations are full; n when all are.
    """
    for k in range(scalars[FREED]):
        stacks[0, scalars[FREE]] = stacks[1, k]
        scalars[FREE] += 1
    scalars[FREED] = 0
    for k in range(scalars[LFREED]):
        stacks[2, scalars[LFREE]] = stacks[3, k]
        scalars[LFREE] += 1
    scalars[LFREED] = 0
    scalars[NOPS] = 0
    near = begin
    count = records.shape[0]
    foresee_ids(records, begin, min(begin + 2 * AHEAD, count), ids, early, ring, scalars, params)
    foresee_events(records, begin, min(begin + AHEAD, count), ids, ring)
    for i in range(begin, count):
        if i == near:
            near = min(i + AHEAD, count)
            after = min(near + AHEAD, count)
            foresee_ids(records, after, min(after + AHEAD, count), ids, early, ring, scalars, params)
            foresee_events(records, near, after, ids, ring)
        now = records[i, RECEIVED]
        scalars[RECORD] = i
        if not fire(ops, ring, ids, waiting, early, labels, queues, stacks, scalars, params, counters, now):
            return i
        if unheard(records, i, ids, labels, stacks, scalars, params):
            continue
        if scalars[NOPS] + 4 > ops.shape[0]:
            return i
        kind = records[i, KIND]
        if kind == EVENT:
            take_event(ops, ring, ids, waiting, early, labels, streams, stacks, scalars, params, counters, records, i)
        elif kind == OTHER:
            take_other(ops, streams, scalars, counters, records, i)
        elif kind == TABLE:
            at = emit(ops, scalars, OP_TABLE, records[i, ROW], -1, -1, now, BY_NONE)
            ops[at, OP_STREAM] = records[i, STREAM]
        elif kind != TICK:
            label = records[i, ROW]
            if labels[label, L_SEQ] < 0:
                counters[C_LABELS] += 1
                labels[label, L_STATE] = L_FRESH
                labels[label, L_SEQ] = scalars[HEAD]
                labels[label, L_KNOWN] = now
            if params[DELAY] > 0:
                labels[label, L_KNOWN] = now + params[DELAY]
                labels[label, L_STATE] = L_DELAYED
                queues[0, scalars[D_HEAD] & (queues.shape[1] - 1)] = label
                scalars[D_HEAD] += 1
            elif kind == LABEL:
                join_label(ops, ring, ids, early, labels, queues, stacks, scalars, params, counters, label, now)
            elif not answer(ops, ring, waiting, labels, stacks, scalars, params, counters, label, now):
                return i
    return int(records.shape[0])

"""Events as they arrive: refused, known already, or given a place and a slot."""

from __future__ import annotations

from stream_ml.kernels.arrays import Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.labels import L_DONE, L_STATE
from stream_ml.kernels.memory import prefetch
from stream_ml.kernels.operations import (
    BUDGET,
    BY_LABEL,
    BY_NONE,
    BY_ON,
    C_AHEAD,
    C_DUPLICATE,
    C_EVENTS,
    C_JOINED,
    C_LATE,
    C_OTHER,
    C_OTHER_LATE,
    FREE,
    FREED,
    H_HEAD,
    H_TAIL,
    HAS_ID,
    HAS_LABEL,
    HEAD,
    HORIZON,
    LIVE,
    NOTHING,
    ON,
    OP_AHEAD,
    OP_EVENT,
    OP_LATE,
    OP_OTHER,
    OP_OUTCOME,
    OP_SEQ,
    OP_STREAM,
    OP_TIME,
    RECEIVED,
    ROW,
    S_AHEAD,
    S_LATENESS,
    S_NEWEST,
    SLOTS,
    STREAM,
    TAIL,
    TIME,
    WORD,
    emit,
)
from stream_ml.kernels.table import find, hash_word, mix, remove
from stream_ml.kernels.waiting import (
    ANSWERED,
    R_DIRTY,
    R_ON,
    R_RECEIVED,
    R_SLOT,
    R_STATE,
    R_WORD,
    WAITING,
    finish,
    give_up,
    link,
)


@kernel(inlined=True)
def foresee_ids(
    records: Ints, begin: int, end: int, ids: Ints, early: Ints, ring: Ints, scalars: Ints, params: Ints
) -> None:
    """Have the ids of records begin .. end brought near, and those of as many events whose time may be up by then."""
    last = ids.shape[0] - 1
    for i in range(begin, end):
        prefetch(ids, 2 * (mix(hash_word(0, records[i, WORD])) & last))
    if scalars[H_TAIL] < scalars[H_HEAD]:
        for i in range(begin, end):
            prefetch(early, 2 * (mix(hash_word(0, records[i, WORD])) & (early.shape[0] - 1)))
    if begin < end:
        rows = ring.shape[0] - 1
        gone = records[end - 1, RECEIVED] - params[HORIZON]
        seq = scalars[TAIL]
        upto = min(scalars[HEAD], seq + end - begin)
        while seq < upto and ring[seq & rows, R_RECEIVED] < gone:
            prefetch(ids, 2 * (mix(hash_word(0, ring[seq & rows, R_WORD])) & last))
            seq += 1


@kernel(inlined=True)
def foresee_events(records: Ints, begin: int, end: int, ids: Ints, ring: Ints) -> None:
    """Have the events of the ids of records begin .. end brought near."""
    last = ids.shape[0] - 1
    for i in range(begin, end):
        seq = ids[mix(hash_word(0, records[i, WORD])) & last, 1]
        if seq > 0:
            prefetch(ring, ring.shape[1] * ((seq - 1) & (ring.shape[0] - 1)))


@kernel(inlined=True)
def take_event(
    ops: Ints,
    ring: Ints,
    ids: Ints,
    waiting: Ints,
    early: Ints,
    labels: Ints,
    streams: Ints,
    stacks: Ints,
    scalars: Ints,
    params: Ints,
    counters: Ints,
    records: Ints,
    i: int,
) -> None:
    """Take one event: refuse it, count it as a duplicate, or give it its place, and join a label held for it."""
    now = records[i, RECEIVED]
    time = records[i, TIME]
    if time > now + streams[0, S_AHEAD]:
        emit(ops, scalars, OP_AHEAD, records[i, ROW], -1, -1, now, BY_NONE)
        counters[C_AHEAD] += 1
        return
    place = 0
    if params[HAS_ID] != 0:
        place = find(ids, records[i, WORD])
        if place >= 0:
            counters[C_DUPLICATE] += 1
            records[i, ROW] = -1
            return
    newest = streams[0, S_NEWEST]
    late = newest != NOTHING and time < newest - streams[0, S_LATENESS]
    counters[C_EVENTS] += 1
    if late:
        counters[C_LATE] += 1
    elif time > newest:
        streams[0, S_NEWEST] = time
    if params[HAS_LABEL] != 0 and scalars[LIVE] >= params[BUDGET]:
        give_up(ops, ring, waiting, stacks, scalars, params, counters, now)
    if scalars[FREE] > 0:
        scalars[FREE] -= 1
        slot = stacks[0, scalars[FREE]]
    else:
        slot = scalars[SLOTS]
        scalars[SLOTS] += 1
    seq = scalars[HEAD]
    at = emit(ops, scalars, OP_EVENT, records[i, ROW], slot, seq, now, BY_NONE)
    ops[at, OP_TIME] = newest - streams[0, S_LATENESS] if late else time
    ops[at, OP_LATE] = 1 if late else 0
    scalars[HEAD] = seq + 1
    here = seq & (ring.shape[0] - 1)
    ring[here, R_WORD] = records[i, WORD]
    ring[here, R_RECEIVED] = now
    ring[here, R_SLOT] = slot
    ring[here, R_ON] = records[i, ON]
    ring[here, R_DIRTY] = 1
    if params[HAS_ID] != 0:
        ids[-1 - place, 0] = records[i, WORD]
        ids[-1 - place, 1] = seq + 1
    if params[HAS_LABEL] == 0:
        ring[here, R_STATE] = ANSWERED
        stacks[1, scalars[FREED]] = slot
        stacks[4, scalars[FREED]] = seq
        scalars[FREED] += 1
        return
    ring[here, R_STATE] = WAITING
    scalars[LIVE] += 1
    if params[BY_ON] != 0:
        link(ring, waiting, scalars, seq, records[i, ON])
        return
    held = find(early, records[i, WORD]) if scalars[H_TAIL] < scalars[H_HEAD] else -1
    if held >= 0:
        label = early[held, 1] - 1
        remove(early, held)
        labels[label, L_STATE] = L_DONE
        emit(ops, scalars, OP_OUTCOME, label, slot, seq, now, BY_LABEL)
        finish(ring, waiting, stacks, scalars, params, seq, ANSWERED)
        counters[C_JOINED] += 1


@kernel(inlined=True)
def take_other(ops: Ints, streams: Ints, scalars: Ints, counters: Ints, records: Ints, i: int) -> None:
    """Take an event of another stream: only windows see it, and only if it is not late."""
    stream = records[i, STREAM]
    time = records[i, TIME]
    if time > records[i, RECEIVED] + streams[stream, S_AHEAD]:
        at = emit(ops, scalars, OP_AHEAD, records[i, ROW], -1, -1, records[i, RECEIVED], BY_NONE)
        ops[at, OP_STREAM] = stream
        counters[C_AHEAD] += 1
        return
    newest = streams[stream, S_NEWEST]
    counters[C_OTHER] += 1
    if newest != NOTHING and time < newest - streams[stream, S_LATENESS]:
        counters[C_OTHER_LATE] += 1
        return
    streams[stream, S_NEWEST] = max(newest, time)
    at = emit(ops, scalars, OP_OTHER, records[i, ROW], -1, -1, records[i, RECEIVED], BY_NONE)
    ops[at, OP_TIME] = time
    ops[at, OP_SEQ] = streams[stream, S_LATENESS]
    ops[at, OP_STREAM] = stream

"""The join: records in order become operations: an event seen, an outcome known, a table's row, a deadline passed.

Everything here is integers. Events that wait for their label stand in a ring in arrival order (all wait equally long, so
deadlines pass in that order); their features stand elsewhere, in a slot. Labels that came before their event are held in
a queue, delayed ones in another. A kernel call stops when the operations are full and goes on where it stopped.
"""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.jit import kernel
from stream_ml.kernels.table import find, hash_word, mix, remove

# Columns of a record.
KIND, ROW, STREAM, RECEIVED, TIME, WORD, ON, PAIR = range(8)
# What stands beside an event that is also a label record: nothing; its `on=` label before it; its id's label after it.
ALONE, BEFORE, AFTER = range(3)
# Kinds of record.
TICK, EVENT, LABEL, ANSWER, TABLE, OTHER = range(6)
# Columns of an operation.
OP, OP_ROW, OP_SLOT, OP_SEQ, OP_MOMENT, OP_TIME, OP_LATE, OP_FATE, OP_STREAM, OP_RECORD = range(10)
# Kinds of operation.
OP_EVENT, OP_OUTCOME, OP_TABLE, OP_OTHER, OP_UNMATCHED, OP_AHEAD = range(6)
# Fates.
BY_LABEL, BY_SILENCE, BY_NONE = range(3)
# Columns of the ring.
R_WORD, R_RECEIVED, R_STATE, R_SLOT, R_NEXT, R_PREV, R_ON, R_DIRTY = range(8)
# States of a waiting event.
WAITING, ANSWERED, GIVEN_UP = 1, 2, 3
# Columns of a label in store.
L_WORD, L_KNOWN, L_SEQ, L_STATE = range(4)
L_FRESH, L_DELAYED, L_HELD, L_DONE, L_ANSWERING = range(5)
# Scalars of the state.
HEAD, TAIL, LIVE, SLOTS, FREE, FREED, LFREE, LFREED, D_HEAD, D_TAIL, H_HEAD, H_TAIL, OLDEST, NOPS, RECORD, FORESEEN = range(16)
# Parameters.
WAIT, HORIZON, DELAY, HAS_ID, HAS_LABEL, BY_ON, SILENCE, BUDGET = range(8)
# Columns of a stream: newest event time seen, lateness, ahead.
S_NEWEST, S_LATENESS, S_AHEAD = range(3)
# Counters.
COUNTERS = (
    "events", "duplicate", "late", "other_events", "other_late", "labels", "joined", "again", "held", "idle", "unmatched",
    "silence", "dropped", "given_up", "orphan", "ahead", "other_duplicate",
)  # fmt: skip
(
    C_EVENTS, C_DUPLICATE, C_LATE, C_OTHER, C_OTHER_LATE, C_LABELS, C_JOINED, C_AGAIN, C_HELD, C_IDLE, C_UNMATCHED,
    C_SILENCE, C_DROPPED, C_GIVEN_UP, C_ORPHAN, C_AHEAD, C_OTHER_DUPLICATE,
) = range(len(COUNTERS))  # fmt: skip
NOTHING = -(1 << 60)


@kernel
def emit(ops, scalars, op, row, slot, seq, moment, fate):
    """Write one operation; returns its place."""
    at = scalars[NOPS]
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


@kernel
def free_label(labels, stacks, scalars, label):
    """Set a label aside: its place is free after this batch of operations."""
    labels[label, L_STATE] = L_DONE
    stacks[3, scalars[LFREED]] = label
    scalars[LFREED] += 1


@kernel
def link(ring, waiting, scalars, seq, on):
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
def unlink(ring, waiting, seq):
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


@kernel
def finish(ring, waiting, stacks, scalars, params, seq, state):
    """End the waiting of event `seq`: its slot is free after this batch of operations."""
    here = seq & (ring.shape[0] - 1)
    ring[here, R_STATE] = state
    ring[here, R_DIRTY] = 1
    stacks[1, scalars[FREED]] = ring[here, R_SLOT]
    scalars[FREED] += 1
    scalars[LIVE] -= 1
    if params[BY_ON] != 0:
        unlink(ring, waiting, seq)


@kernel
def give_up(ring, waiting, stacks, scalars, params, counters):
    """Give up the event that has waited longest."""
    last = ring.shape[0] - 1
    seq = max(scalars[OLDEST], scalars[TAIL])
    while ring[seq & last, R_STATE] != WAITING:
        seq += 1
    scalars[OLDEST] = seq + 1
    finish(ring, waiting, stacks, scalars, params, seq, GIVEN_UP)
    counters[C_GIVEN_UP] += 1


@kernel
def join_label(ops, ring, ids, early, labels, queues, stacks, scalars, params, counters, label, moment):
    """Join a label with the event of its id, hold it where there is none yet, or count it."""
    word = labels[label, L_WORD]
    at = find(ids, word)
    if at < 0:
        held = find(early, word)
        if held >= 0:
            counters[C_AGAIN] += 1
            free_label(labels, stacks, scalars, label)
            return
        early[-1 - held, 0] = word
        early[-1 - held, 1] = label + 1
        labels[label, L_KNOWN] = moment
        labels[label, L_STATE] = L_HELD
        queues[1, scalars[H_HEAD] & (queues.shape[1] - 1)] = label
        scalars[H_HEAD] += 1
        counters[C_HELD] += 1
        return
    seq = ids[at, 1] - 1
    here = seq & (ring.shape[0] - 1)
    if ring[here, R_STATE] == WAITING:
        emit(ops, scalars, OP_OUTCOME, label, ring[here, R_SLOT], seq, moment, BY_LABEL)
        finish(ring, ids, stacks, scalars, params, seq, ANSWERED)
        counters[C_JOINED] += 1
    elif ring[here, R_STATE] == GIVEN_UP:
        counters[C_ORPHAN] += 1
    else:
        counters[C_AGAIN] += 1
    free_label(labels, stacks, scalars, label)


@kernel
def answer(ops, ring, waiting, labels, stacks, scalars, params, counters, label, moment):
    """Answer every waiting event of the label's value that came before it; False where the operations are full."""
    last = ring.shape[0] - 1
    while True:
        at = find(waiting, labels[label, L_WORD])
        if at < 0:
            break
        seq = waiting[at, 1] - 1
        if seq >= labels[label, L_SEQ]:
            break
        if scalars[NOPS] >= ops.shape[0]:
            return False
        emit(ops, scalars, OP_OUTCOME, label, ring[seq & last, R_SLOT], seq, moment, BY_LABEL)
        finish(ring, waiting, stacks, scalars, params, seq, ANSWERED)
        counters[C_JOINED] += 1
        labels[label, L_STATE] = L_ANSWERING
    if labels[label, L_STATE] != L_ANSWERING:
        counters[C_IDLE] += 1
    free_label(labels, stacks, scalars, label)
    return True


@kernel
def time_out(ops, ring, ids, waiting, stacks, scalars, params, counters):
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
        at = find(ids, ring[here, R_WORD])
        if at >= 0 and ids[at, 1] == seq + 1:
            remove(ids, at)
    scalars[TAIL] = seq + 1


@kernel
def fire(ops, ring, ids, waiting, early, labels, queues, stacks, scalars, params, counters, now):  # noqa: PLR0913
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


@kernel
def take_event(ops, ring, ids, waiting, early, labels, streams, stacks, scalars, params, counters, records, i):
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
        give_up(ring, waiting, stacks, scalars, params, counters)
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
        scalars[FREED] += 1
        return
    ring[here, R_STATE] = WAITING
    scalars[LIVE] += 1
    if params[BY_ON] != 0:
        link(ring, waiting, scalars, seq, records[i, ON])
        return
    held = find(early, records[i, WORD])
    if held >= 0:
        label = early[held, 1] - 1
        remove(early, held)
        labels[label, L_STATE] = L_DONE
        emit(ops, scalars, OP_OUTCOME, label, slot, seq, now, BY_LABEL)
        finish(ring, waiting, stacks, scalars, params, seq, ANSWERED)
        counters[C_JOINED] += 1


@kernel
def take_other(ops, streams, scalars, counters, records, i):
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


@kernel
def foresee(records, begin, end, ids, ring):
    """Read what the next records will look for, so that it is near when they are taken; the sum is of no use.

    The look-ups of one record do not wait for another's here, as they do in the join itself.
    """
    last = ids.shape[0] - 1
    seen = 0
    for i in range(begin, end):
        at = mix(hash_word(0, records[i, WORD])) & last
        seen += ids[at, 1]
    for i in range(begin, end):
        at = mix(hash_word(0, records[i, WORD])) & last
        seq = ids[at, 1]
        if seq > 0:
            seen += ring[(seq - 1) & (ring.shape[0] - 1), R_STATE]
    return seen


@kernel
def unheard(records, i, ids, labels, stacks, scalars, params):
    """Set a label aside that came in one record with an event seen before: a duplicate changes nothing."""
    if params[HAS_ID] == 0 or records[i, PAIR] == ALONE or records[i, KIND] == EVENT:
        return False
    event = i + 1 if records[i, PAIR] == BEFORE else i - 1
    if records[i, PAIR] == BEFORE:
        seen = find(ids, records[event, WORD]) >= 0
    else:
        seen = records[event, ROW] < 0
    if seen:
        free_label(labels, stacks, scalars, records[i, ROW])
    return seen


@kernel(
    signature="i8(i8[:,::1], i8, i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], "
    "i8[:,::1], i8[:,::1], i8[::1], i8[::1], i8[::1])"
)
def join(
    records, begin, ops, ring, ids, waiting, early, labels, queues, stacks, streams, scalars, params, counters
):  # noqa: PLR0913
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
        Labels in store; delayed and held queues; free and just freed slots, free and just freed labels.
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
    scalars[FORESEEN] = foresee(records, begin, min(begin + ops.shape[0], records.shape[0]), ids, ring)
    for i in range(begin, records.shape[0]):
        now = records[i, RECEIVED]
        scalars[RECORD] = i
        if not fire(ops, ring, ids, waiting, early, labels, queues, stacks, scalars, params, counters, now):
            return i
        if unheard(records, i, ids, labels, stacks, scalars, params):
            continue
        if scalars[NOPS] + 3 > ops.shape[0]:
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
    return records.shape[0]


@kernel(signature="void(i8[:,::1], i8[::1], i8[::1])")
def hold(early, words, labels):
    """Enter held labels by the id that they wait for."""
    for i in range(words.shape[0]):
        at = -1 - find(early, words[i])
        early[at, 0] = words[i]
        early[at, 1] = labels[i] + 1


@kernel(signature="void(i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[::1], i8[::1])")
def relay(rows, ring, ids, waiting, scalars, params):
    """Append saved ring rows at the head: ids, slots and waiting lists are made anew."""
    for i in range(rows.shape[0]):
        seq = scalars[HEAD]
        here = seq & (ring.shape[0] - 1)
        for j in range(rows.shape[1]):
            ring[here, j] = rows[i, j]
        ring[here, R_SLOT] = -1
        scalars[HEAD] = seq + 1
        if params[HAS_ID] != 0:
            at = find(ids, rows[i, R_WORD])
            if at < 0:
                at = -1 - at
            ids[at, 0] = rows[i, R_WORD]
            ids[at, 1] = seq + 1
        if rows[i, R_STATE] == WAITING:
            ring[here, R_SLOT] = scalars[SLOTS]
            scalars[SLOTS] += 1
            scalars[LIVE] += 1
            if params[BY_ON] != 0:
                link(ring, waiting, scalars, seq, rows[i, R_ON])

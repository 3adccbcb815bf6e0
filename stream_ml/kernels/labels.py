"""Labels on their way to events: joined by id or by value, held until their event comes, or set aside."""

from __future__ import annotations

from stream_ml.kernels.arrays import Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.operations import (
    ALONE,
    BEFORE,
    BY_LABEL,
    C_AGAIN,
    C_HELD,
    C_IDLE,
    C_JOINED,
    C_ORPHAN,
    EVENT,
    H_HEAD,
    HAS_ID,
    KIND,
    LFREED,
    NOPS,
    OP_OUTCOME,
    PAIR,
    ROW,
    WORD,
    emit,
)
from stream_ml.kernels.table import find
from stream_ml.kernels.waiting import ANSWERED, GIVEN_UP, R_SLOT, R_STATE, WAITING, finish

# Columns of a label in store.
L_WORD, L_KNOWN, L_SEQ, L_STATE = range(4)
L_FRESH, L_DELAYED, L_HELD, L_DONE, L_ANSWERING = range(5)


@kernel(inlined=True)
def free_label(labels: Ints, stacks: Ints, scalars: Ints, label: int) -> None:
    """Set a label aside: its place is free after this batch of operations."""
    labels[label, L_STATE] = L_DONE
    stacks[3, scalars[LFREED]] = label
    scalars[LFREED] += 1


@kernel(inlined=True)
def join_label(
    ops: Ints,
    ring: Ints,
    ids: Ints,
    early: Ints,
    labels: Ints,
    queues: Ints,
    stacks: Ints,
    scalars: Ints,
    params: Ints,
    counters: Ints,
    label: int,
    moment: int,
) -> None:
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
def answer(
    ops: Ints,
    ring: Ints,
    waiting: Ints,
    labels: Ints,
    stacks: Ints,
    scalars: Ints,
    params: Ints,
    counters: Ints,
    label: int,
    moment: int,
) -> bool:
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


@kernel(inlined=True)
def unheard(records: Ints, i: int, ids: Ints, labels: Ints, stacks: Ints, scalars: Ints, params: Ints) -> bool:
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


@kernel(signature="void(i8[:,::1], i8[::1], i8[::1])")
def hold(early: Ints, words: Ints, labels: Ints) -> None:
    """Enter held labels by the id that they wait for."""
    for i in range(words.shape[0]):
        at = -1 - find(early, words[i])
        early[at, 0] = words[i]
        early[at, 1] = labels[i] + 1

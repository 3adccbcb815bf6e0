"""One pass over a tape of predictions and lessons: scalers, one-hot encoders, a linear model. river 0.26's arithmetic.

The plan is data. `links` [L, 2] names for each link the register it reads and the input column whose absence makes it
absent; registers 0 .. f-1 are the inputs, register f + i is what link i wrote. `steps` [S, 4] are (operation, first
link, one past the last link, flag) in river's order of learning, then the terms of the sum in the order of its dict.
`values` [4, L] is the state of a link: (count, mean, variance, its square root) or (min, max) of a scaler, (weight,
g2 | m, v) of a term. A category is a slot: `keys` [capacity, 2] (link, category), `slots` [5, capacity] like a term's
state and two rows of work, found by `table`; slots are numbered in the order in which the categories were first
learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_ml.kernels.arrays import Floats, Ints
from stream_ml.kernels.descent import (
    ADAM,
    BIAS_KIND,
    BIAS_POWER,
    BIAS_RATE,
    L2,
    LOG,
    LOSS,
    OPTIMIZER,
    loss_gradient,
    rate_at,
    step,
    step_all,
    weight_rate,
)
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import NAN, sigmoid
from stream_ml.kernels.scalers import scale
from stream_ml.kernels.table import find

#: Operations beside those of scalers. All but the last two learn and transform; those are terms of the sum.
REQUIRE = 0
ENCODE, NUMBERS, CATEGORIES = range(4, 7)
#: Places in `head` and in `counts`.
INTERCEPT = 0
SLOTS, STEPS_TAKEN = range(2)
#: Place of the gradient in `slots`: 0 but for the categories of the row that is being learned.
PULL = 3
#: Place of what is NaN for the categories of other encoders than the one that is being learned.
OURS = 4
#: Rows of `slots`.
ROWS = 5


@kernel(inlined=True)
def _take_row(x: Floats, v: Floats) -> bool:
    """Copy a row into the first registers; say whether nothing is missing in it."""
    dense = True
    for column in range(x.shape[0]):
        value = float(x[column])
        v[column] = value
        if value != value:
            dense = False
    return dense


@kernel
def _first_registers(steps: Ints, links: Ints, registers: Ints) -> None:
    """Write for each step the registers [S, 2] with which its links begin if they read one after the other, else -1."""
    for s in range(steps.shape[0]):
        first = steps[s, 1]
        for side in range(2):
            registers[s, side] = links[first, side] if first < steps[s, 2] else 0
            for i in range(first, steps[s, 2]):
                if links[i, side] != links[first, side] + (i - first):
                    registers[s, side] = -1


@kernel(inlined=True)
def _read(steps: Ints, links: Ints, s: int, side: int, v: Floats, registers: Ints) -> int:
    """Return the register from which on what a step's links read stands side by side: where it is, or copied."""
    register = registers[s, side]
    if register >= 0:
        return register  # type: ignore[no-any-return]
    copies: int = v.shape[0] - (side + 1) * links.shape[0]
    for i in range(steps[s, 1], steps[s, 2]):
        v[copies + i] = v[links[i, side]]
    return copies + int(steps[s, 1])


@kernel(inlined=True)
def category_word(links: Ints, link: int, category: int) -> int:
    """Return the key of (link, category): category * L + link, without overflow for L < 1024, |category| <= 2**53."""
    return int(category * links.shape[0] + link)


@kernel
def new_slot(links: Ints, state: Any, link: int, category: int) -> int:
    """Return the slot of (link, category), made with weight 0 if it is new; the caller has made room."""
    _values, _head, counts, slots, keys, table = state
    word = category_word(links, link, category)
    at = find(table, word)
    if at >= 0:
        return table[at, 1] - 1  # type: ignore[no-any-return]
    slot = counts[SLOTS]
    counts[SLOTS] = slot + 1
    table[-1 - at, 0] = word
    table[-1 - at, 1] = slot + 1
    keys[slot, 0] = link
    keys[slot, 1] = category
    slots[:, slot] = 0.0
    return slot  # type: ignore[no-any-return]


@kernel(inlined=True)
def _missing(links: Ints, first: int, last: int, v: Floats) -> int:
    """Return 1 + the first column among the links that the row does not have, or 0."""
    for i in range(first, last):
        if v[links[i, 1]] != v[links[i, 1]]:
            return int(links[i, 1]) + 1
    return 0


@kernel(inlined=True)
def _encode(links: Ints, state: Any, first: int, last: int, learn: bool, v: Floats, hits: Ints) -> None:
    """Find the slots of a row's categories; make those of new ones where the row is learned."""
    _values, _head, _counts, _slots, _keys, table = state
    for i in range(first, last):
        hits[i] = -1
        if v[links[i, 1]] == v[links[i, 1]]:
            category = int(v[links[i, 1]])
            if learn:
                hits[i] = new_slot(links, state, i, category)
            else:
                at = find(table, category_word(links, i, category))
                if at >= 0:
                    hits[i] = table[at, 1] - 1


@kernel(inlined=True)
def _forward(plan: Any, state: Any, learn: bool, dense: bool, work: Any) -> int:
    """Run scalers and encoders over the row in `v`; 1 + the column that a Select misses, or 0."""
    steps, links, _settings = plan
    values, _head, _counts, _slots, _keys, _table = state
    v, hits, registers = work
    inputs = v.shape[0] - 3 * links.shape[0]
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        first = steps[s, 1]
        last = steps[s, 2]
        if operation >= NUMBERS:
            break
        if operation == REQUIRE:
            if not dense:
                missing = _missing(links, first, last, v)
                if missing != 0:
                    return missing
        elif operation == ENCODE:
            _encode(links, state, first, last, learn, v, hits)
        else:
            at = _read(steps, links, s, 0, v, registers)
            base = _read(steps, links, s, 1, v, registers)
            x = v[at : at + last - first]
            z = v[inputs + first : inputs + last]
            if base == at:  # said once more, so that the compiler knows that it is one array
                scale(operation, values, first, last, learn, x, x, z)
            else:
                scale(operation, values, first, last, learn, x, v[base : base + last - first], z)
    return 0


@kernel(inlined=True)
def _sort(hits: Ints, first: int, last: int) -> None:
    """Sort hits[first:last] in place: few values, mostly sorted."""
    for i in range(first + 1, last):
        moved = hits[i]
        j = i - 1
        while j >= first and hits[j] > moved:
            hits[j + 1] = hits[j]
            j -= 1
        hits[j + 1] = moved


@kernel(inlined=True)
def _add_products(total: float, x: Floats, base: Floats, weights: Floats) -> float:
    """Return total + the sum of weight * x of what the row has, added up in order."""
    for i in range(x.shape[0]):
        if base[i] == base[i]:
            total += float(weights[i]) * float(x[i])
    return total


@kernel(inlined=True)
def _dot(plan: Any, state: Any, work: Any) -> float:
    """Return the weighted sum of the row's terms in the order of river's dict."""
    steps, links, _settings = plan
    values, _head, _counts, slots, _keys, _table = state
    v, hits, registers = work
    total = 0.0
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        first = steps[s, 1]
        last = steps[s, 2]
        if operation == NUMBERS:
            at = _read(steps, links, s, 0, v, registers)
            base = _read(steps, links, s, 1, v, registers)
            x = v[at : at + last - first]
            total = _add_products(total, x, v[base : base + last - first], values[0, first:last])
        elif operation == CATEGORIES:
            if steps[s, 3] == 0:
                _sort(hits, first, last)
            for i in range(first, last):
                if hits[i] >= 0:
                    total += float(slots[0, hits[i]])
    return total


@kernel(inlined=True)
def _step_categories(plan: Any, state: Any, s: int, hits: Ints, slope: float, rate: float) -> None:
    """Step the row's categories, whose value is 1, and every other one learned where zeros are explicit."""
    steps, _links, settings = plan
    _values, _head, counts, slots, keys, _table = state
    first = steps[s, 1]
    last = steps[s, 2]
    if steps[s, 3] != 0 or (settings[OPTIMIZER] != ADAM and settings[L2] == 0.0):
        for i in range(first, last):
            if hits[i] >= 0:
                step(settings, slots, hits[i], slope, rate)
        return
    n = counts[SLOTS]
    for slot in range(n):
        slots[OURS, slot] = 0.0 if first <= keys[slot, 0] < last else NAN
    for i in range(first, last):
        if hits[i] >= 0:
            slots[PULL, hits[i]] = slope
    step_all(settings, slots, 0, n, slots[PULL, :n], slots[OURS, :n], 1.0, rate)
    for i in range(first, last):
        if hits[i] >= 0:
            slots[PULL, hits[i]] = 0.0


@kernel(inlined=True)
def _learn(plan: Any, state: Any, work: Any, slope: float) -> None:
    """Take one step down the gradient of a row whose loss has this slope."""
    steps, links, settings = plan
    values, head, counts, _slots, _keys, _table = state
    v, hits, registers = work
    t = int(counts[STEPS_TAKEN])
    bias = rate_at(float(settings[BIAS_RATE]), settings[BIAS_KIND], float(settings[BIAS_POWER]), t)
    head[INTERCEPT] = float(head[INTERCEPT]) - bias * slope
    rate = weight_rate(settings, t)
    for s in range(steps.shape[0]):
        first = steps[s, 1]
        last = steps[s, 2]
        if steps[s, 0] == NUMBERS:
            at = _read(steps, links, s, 0, v, registers)
            base = _read(steps, links, s, 1, v, registers)
            x = v[at : at + last - first]
            step_all(settings, values, first, last, x, v[base : base + last - first], slope, rate)
        elif steps[s, 0] == CATEGORIES:
            _step_categories(plan, state, s, hits, slope, rate)
    counts[STEPS_TAKEN] = t + 1


@kernel
def _run(tape: Any, plan: Any, state: Any, out: Any, work: Any, start: int) -> int:
    learn, rows, x, y, weight = tape
    steps, _links, settings = plan
    _values, head, counts, slots, _keys, table = state
    score, status = out
    v = work[0]
    encoded = 0
    for s in range(steps.shape[0]):
        if steps[s, 0] == ENCODE:
            encoded += steps[s, 2] - steps[s, 1]
    taken = -1
    dense = False
    for i in range(start, learn.shape[0]):
        learning = learn[i] == 1
        if learning and (counts[SLOTS] + encoded > slots.shape[1] or 2 * (counts[SLOTS] + encoded) > table.shape[0]):
            return i
        if rows[i] != taken:
            taken = rows[i]
            dense = _take_row(x[taken], v)
        status[i] = _forward(plan, state, learning, dense, work)
        if status[i] != 0:
            continue
        raw = _dot(plan, state, work) + float(head[INTERCEPT])
        if learning:
            _learn(plan, state, work, loss_gradient(settings, float(y[i]), raw, float(weight[i])))
        else:
            score[i] = sigmoid(raw) if settings[LOSS] == LOG else raw
    return int(learn.shape[0])


@kernel(
    signature="i8(Tuple((u1[::1], i8[::1], f8[:,::1], f8[::1], f8[::1])), Tuple((i8[:,::1], i8[:,::1], f8[::1])), "
    "Tuple((f8[:,::1], f8[::1], i8[::1], f8[:,::1], i8[:,::1], i8[:,::1])), Tuple((f8[::1], i8[::1])), i8)",
    allocates=True,
)
def run(tape: Any, plan: Any, state: Any, out: Any, start: int) -> int:
    """Predict and learn, one operation after the other, from operation `start`.

    Parameters
    ----------
    tape
        (learn, row, x, y, weight): what to do at each operation, and with which row of x.
    plan
        (steps, links, settings).
    state
        (values, head, counts, slots, keys, table), changed in place.
    out
        (score, status): score of each prediction; status 1 + the input column that a Select missed, else 0.
    start
        The operation to begin with.

    Returns
    -------
    int
        The operation that found no room for new categories (nothing of it is done), or the length of the tape.
    """
    steps, links, _settings = plan
    v = np.empty(tape[2].shape[1] + 3 * links.shape[0])
    hits = np.empty(links.shape[0], dtype=np.int64)
    registers = np.empty((steps.shape[0], 2), dtype=np.int64)
    _first_registers(steps, links, registers)
    return _run(tape, plan, state, out, (v, hits, registers), start)


@kernel(
    signature="void(i8[:,::1], Tuple((f8[:,::1], f8[::1], i8[::1], f8[:,::1], i8[:,::1], i8[:,::1])), i8[::1], i8[::1])"
)
def insert(links: Ints, state: Any, of: Ints, categories: Ints) -> None:
    """Make the slots of (of[i], categories[i]) in this order; the caller has made room."""
    for i in range(of.shape[0]):
        new_slot(links, state, of[i], categories[i])

"""One pass over a tape of predictions and lessons: scalers, one-hot encoders, a linear model. river 0.26's arithmetic.

The plan is data. `links` [L, 2] names for each link the register it reads and the input column whose absence makes it
absent; registers 0 .. f-1 are the inputs, register f + i is what link i wrote. `steps` [S, 4] are (operation, first
link, one past the last link, flag) in river's order of learning, then the terms of the sum in the order of its dict.
`values` [L, 4] is the state of a link: (count, mean, variance, its square root) or (min, max) of a scaler, (weight,
g2 | m, v) of a term. A category is a slot: `keys` [capacity, 3] (link, category, mark), `slots` [capacity, 3] like a
term's state, found by `table`; slots are numbered in the order in which the categories were first learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.descent import (
    ADAM,
    BIAS_KIND,
    BIAS_POWER,
    BIAS_RATE,
    L2,
    LOG,
    LOSS,
    OPTIMIZER,
    SGD,
    loss_gradient,
    rate_at,
    step,
    weight_rate,
)
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import NAN, sigmoid, sqrt
from stream_ml.kernels.table import find

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Operations. The first five learn and transform, the last two are terms of the sum.
REQUIRE, STANDARD, CENTER, MIN_MAX, ENCODE, NUMBERS, CATEGORIES = range(7)
#: Places in `head` and in `counts`.
INTERCEPT = 0
SLOTS, STEPS_TAKEN = range(2)


@kernel(inlined=True)
def _is_dense(x: Floats, row: int) -> bool:
    for column in range(x.shape[1]):
        if x[row, column] != x[row, column]:
            return False
    return True


@kernel(inlined=True)
def category_word(links: Ints, link: int, category: int) -> int:
    """Return the key of (link, category): category * L + link, without overflow for L < 1024, |category| <= 2**53."""
    return int(category * links.shape[0] + link)


@kernel(inlined=True)
def _standard(value: float, mean: float, deviation: float) -> float:
    """Return (x - mean) / deviation, 0 where nothing varied."""
    return (value - mean) / deviation if deviation != 0.0 else 0.0


@kernel(inlined=True)
def _min_max(value: float, low: float, high: float) -> float:
    """Return (x - min) / (max - min), 0 where they are equal, NaN before the first value (as river)."""
    if high < low:
        return NAN
    width = high - low
    if width == 0.0:
        return 0.0
    return (value - low) / width


@kernel(inlined=True)
def _learn_scaler(operation: int, values: Floats, i: int, value: float) -> None:
    """Welford's update of (count, mean, variance): mean += d / n; var += (d (x - mean) - var) / n; or of (min, max)."""
    if operation == MIN_MAX:
        if value < values[i, 0]:
            values[i, 0] = value
        if value > values[i, 1]:
            values[i, 1] = value
        return
    count = float(values[i, 0]) + 1.0
    old = float(values[i, 1])
    mean = old + (value - old) / count
    values[i, 0] = count
    values[i, 1] = mean
    if operation == STANDARD:
        variance = float(values[i, 2])
        variance = variance + ((value - old) * (value - mean) - variance) / count
        values[i, 2] = variance
        values[i, 3] = sqrt(variance)


@kernel(inlined=True)
def _scaled(operation: int, values: Floats, i: int, value: float) -> float:
    if operation == STANDARD:
        return _standard(value, float(values[i, 1]), float(values[i, 3]))
    if operation == CENTER:
        return value - float(values[i, 1])
    return _min_max(value, float(values[i, 0]), float(values[i, 1]))


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
    keys[slot, 2] = 0
    slots[slot, 0] = 0.0
    slots[slot, 1] = 0.0
    slots[slot, 2] = 0.0
    return slot  # type: ignore[no-any-return]


@kernel(inlined=True)
def _scale(
    operation: int, links: Ints, values: Floats, first: int, last: int, learn: bool, inputs: int, v: Floats
) -> None:
    """Run one scaler over a row in which nothing is missing."""
    if operation == STANDARD and learn:
        for i in range(first, last):
            value = float(v[links[i, 0]])
            _learn_scaler(STANDARD, values, i, value)
            v[inputs + i] = _standard(value, float(values[i, 1]), float(values[i, 3]))
    elif operation == STANDARD:
        for i in range(first, last):
            v[inputs + i] = _standard(float(v[links[i, 0]]), float(values[i, 1]), float(values[i, 3]))
    else:
        for i in range(first, last):
            value = float(v[links[i, 0]])
            if learn:
                _learn_scaler(operation, values, i, value)
            v[inputs + i] = _scaled(operation, values, i, value)


@kernel(inlined=True)
def _scale_present(
    operation: int, links: Ints, values: Floats, first: int, last: int, learn: bool, inputs: int, v: Floats
) -> None:
    """Run one scaler over the features that a row has."""
    for i in range(first, last):
        value = float(v[links[i, 0]])
        if v[links[i, 1]] == v[links[i, 1]]:
            if learn:
                _learn_scaler(operation, values, i, value)
            v[inputs + i] = _scaled(operation, values, i, value)


@kernel(inlined=True)
def _missing(links: Ints, first: int, last: int, v: Floats) -> int:
    """Return 1 + the first column among the links that the row does not have, or 0."""
    for i in range(first, last):
        if v[links[i, 1]] != v[links[i, 1]]:
            return int(links[i, 1]) + 1
    return 0


@kernel
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
def _forward(
    steps: Ints, links: Ints, values: Floats, state: Any, learn: bool, dense: bool, v: Floats, hits: Ints
) -> int:
    """Run scalers and encoders over the row in `v`; 1 + the column that a Select misses, or 0."""
    inputs = v.shape[0] - links.shape[0]
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        if operation >= NUMBERS:
            break
        if operation == REQUIRE:
            if not dense:
                missing = _missing(links, steps[s, 1], steps[s, 2], v)
                if missing != 0:
                    return missing
        elif operation == ENCODE:
            _encode(links, state, steps[s, 1], steps[s, 2], learn, v, hits)
        elif dense:
            _scale(operation, links, values, steps[s, 1], steps[s, 2], learn, inputs, v)
        else:
            _scale_present(operation, links, values, steps[s, 1], steps[s, 2], learn, inputs, v)
    return 0


@kernel
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
def _dot(steps: Ints, links: Ints, values: Floats, slots: Floats, dense: bool, v: Floats, hits: Ints) -> float:
    """Return the weighted sum of the row's terms in the order of river's dict."""
    total = 0.0
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        first = steps[s, 1]
        last = steps[s, 2]
        if operation == NUMBERS:
            if dense:
                for i in range(first, last):
                    total += float(values[i, 0]) * float(v[links[i, 0]])
            else:
                for i in range(first, last):
                    if v[links[i, 1]] == v[links[i, 1]]:
                        total += float(values[i, 0]) * float(v[links[i, 0]])
        elif operation == CATEGORIES:
            if steps[s, 3] == 0:
                _sort(hits, first, last)
            for i in range(first, last):
                if hits[i] >= 0:
                    total += float(slots[hits[i], 0])
    return total


@kernel(inlined=True)
def _step_numbers(
    settings: Floats, links: Ints, values: Floats, first: int, last: int, v: Floats, slope: float, rate: float
) -> None:
    """Step the weight of every number that the row has; its gradient is its value times `slope`."""
    if settings[OPTIMIZER] == SGD and settings[L2] == 0.0:
        for i in range(first, last):
            if v[links[i, 1]] == v[links[i, 1]]:
                values[i, 0] = float(values[i, 0]) - rate * (float(v[links[i, 0]]) * slope)
    else:
        for i in range(first, last):
            if v[links[i, 1]] == v[links[i, 1]]:
                step(settings, values, i, float(v[links[i, 0]]) * slope, rate)


@kernel
def _step_categories(plan: Any, state: Any, s: int, hits: Ints, slope: float, rate: float) -> None:
    """Step the row's categories, whose value is 1, and every other one learned where zeros are explicit."""
    steps, _links, settings = plan
    _values, _head, counts, slots, keys, _table = state
    first = steps[s, 1]
    last = steps[s, 2]
    for i in range(first, last):
        if hits[i] >= 0:
            step(settings, slots, hits[i], slope, rate)
            keys[hits[i], 2] = 1
    if steps[s, 3] == 0 and (settings[OPTIMIZER] == ADAM or settings[L2] != 0.0):
        for slot in range(counts[SLOTS]):
            if first <= keys[slot, 0] < last and keys[slot, 2] == 0:
                step(settings, slots, slot, 0.0, rate)
    for i in range(first, last):
        if hits[i] >= 0:
            keys[hits[i], 2] = 0


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
    learn, rows, x, y, weight = tape
    steps, links, settings = plan
    values, head, counts, slots, _keys, table = state
    score, status = out
    inputs = x.shape[1]
    v = np.empty(inputs + links.shape[0])
    hits = np.empty(links.shape[0], dtype=np.int64)
    encoded = 0
    for s in range(steps.shape[0]):
        if steps[s, 0] == ENCODE:
            encoded += steps[s, 2] - steps[s, 1]
    for i in range(start, learn.shape[0]):
        row = rows[i]
        learning = learn[i] == 1
        if learning and (counts[SLOTS] + encoded > slots.shape[0] or 2 * (counts[SLOTS] + encoded) > table.shape[0]):
            return i
        for column in range(inputs):
            v[column] = x[row, column]
        dense = _is_dense(x, row)
        status[i] = _forward(steps, links, values, state, learning, dense, v, hits)
        if status[i] != 0:
            continue
        raw = _dot(steps, links, values, slots, dense, v, hits) + float(head[INTERCEPT])
        if not learning:
            score[i] = sigmoid(raw) if settings[LOSS] == LOG else raw
            continue
        slope = loss_gradient(settings, float(y[i]), raw, float(weight[i]))
        t = int(counts[STEPS_TAKEN])
        bias = rate_at(float(settings[BIAS_RATE]), settings[BIAS_KIND], float(settings[BIAS_POWER]), t)
        head[INTERCEPT] = float(head[INTERCEPT]) - bias * slope
        rate = weight_rate(settings, t)
        for s in range(steps.shape[0]):
            if steps[s, 0] == NUMBERS:
                _step_numbers(settings, links, values, steps[s, 1], steps[s, 2], v, slope, rate)
            elif steps[s, 0] == CATEGORIES:
                _step_categories(plan, state, s, hits, slope, rate)
        counts[STEPS_TAKEN] = t + 1
    return int(learn.shape[0])


@kernel(
    signature="void(i8[:,::1], Tuple((f8[:,::1], f8[::1], i8[::1], f8[:,::1], i8[:,::1], i8[:,::1])), i8[::1], i8[::1])"
)
def insert(links: Ints, state: Any, of: Ints, categories: Ints) -> None:
    """Make the slots of (of[i], categories[i]) in this order; the caller has made room."""
    for i in range(of.shape[0]):
        new_slot(links, state, of[i], categories[i])

"""One pass over a tape of predictions and lessons: scalers, one-hot encoders, a linear model. river 0.26's arithmetic.

The plan is data. `links` [L, 2] names for each link the register it reads and the input column whose absence makes it
absent; registers 0 .. f-1 are the inputs, register f + i is what link i wrote. `steps` [S, 4] are (operation, first link,
one past the last link, flag) in river's order of learning, and then the terms of the sum in the order of river's dict.
`values` [L, 4] is the state of a link: (count, mean, variance, its square root) or (min, max) of a scaler, (weight, g2 | m,
v) of a term.
A category is a slot: `keys` [capacity, 3] (link, category, mark), `slots` [capacity, 3] like a term's state, found by
`table`; slots are numbered in the order in which the categories were first learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import NAN, exp, log, pow, sigmoid, sqrt
from stream_ml.kernels.table import find

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Operations. The first five learn and transform, the last two are terms of the sum.
REQUIRE, STANDARD, CENTER, MIN_MAX, ENCODE, NUMBERS, CATEGORIES = range(7)
SGD, ADAGRAD, ADAM = range(3)
CONSTANT, INVERSE = range(2)
SQUARED, LOG = range(2)

#: Places in `settings`.
(LOSS, OPTIMIZER, RATE, RATE_KIND, RATE_POWER, BETA_1, BETA_2, EPS, L2, CLIP) = range(10)
(BIAS_RATE, BIAS_KIND, BIAS_POWER, WEIGHT_POS, WEIGHT_NEG) = range(10, 15)
SETTINGS = 15
#: Places in `head` and in `counts`.
INTERCEPT = 0
SLOTS, STEPS_TAKEN = range(2)


@kernel
def _present(x: Floats, row: int, column: int) -> bool:
    return bool(x[row, column] == x[row, column])


@kernel
def _is_dense(x: Floats, row: int) -> bool:
    for column in range(x.shape[1]):
        if x[row, column] != x[row, column]:
            return False
    return True


@kernel
def category_word(links: Ints, link: int, category: int) -> int:
    """Return the key of (link, category): category * L + link, without overflow for L < 1024, |category| <= 2**53."""
    return category * links.shape[0] + link


@kernel
def _standard(value: float, mean: float, deviation: float) -> float:
    """Return (x - mean) / deviation, 0 where nothing varied."""
    return (value - mean) / deviation if deviation != 0.0 else 0.0


@kernel
def _min_max(value: float, low: float, high: float) -> float:
    """Return (x - min) / (max - min), 0 where they are equal, NaN before the first value (as river)."""
    if high < low:
        return NAN
    width = high - low
    if width == 0.0:
        return 0.0
    return (value - low) / width


@kernel
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


@kernel
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


@kernel
def _scale(operation: int, links: Ints, values: Floats, first: int, last: int, learn: bool, inputs: int, v: Floats) -> None:
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


@kernel
def _forward(plan: Any, state: Any, x: Floats, row: int, learn: bool, dense: bool, v: Floats, hits: Ints) -> int:
    """Fill the registers `v` and the slots `hits` of one row; 1 + the column that a Select misses, or 0."""
    steps, links, _settings = plan
    values, _head, _counts, _slots, _keys, table = state
    inputs = x.shape[1]
    for column in range(inputs):
        v[column] = x[row, column]
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        if operation >= NUMBERS:
            break
        if dense and operation != ENCODE:
            if operation != REQUIRE:
                _scale(operation, links, values, steps[s, 1], steps[s, 2], learn, inputs, v)
            continue
        for i in range(steps[s, 1], steps[s, 2]):
            present = dense or _present(x, row, links[i, 1])
            if operation == REQUIRE:
                if not present:
                    return int(links[i, 1]) + 1
            elif operation == ENCODE:
                hits[i] = -1
                if present:
                    category = int(x[row, links[i, 1]])
                    if learn:
                        hits[i] = new_slot(links, state, i, category)
                    else:
                        at = find(table, category_word(links, i, category))
                        if at >= 0:
                            hits[i] = table[at, 1] - 1
            elif present:
                value = float(v[links[i, 0]])
                if learn:
                    _learn_scaler(operation, values, i, value)
                v[inputs + i] = _scaled(operation, values, i, value)
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


@kernel
def _dot(plan: Any, state: Any, x: Floats, row: int, dense: bool, v: Floats, hits: Ints) -> float:
    """Return the weighted sum of the row's terms in the order of river's dict, plus the intercept."""
    steps, links, _settings = plan
    values, head, _counts, slots, _keys, _table = state
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
                    if _present(x, row, links[i, 1]):
                        total += float(values[i, 0]) * float(v[links[i, 0]])
        elif operation == CATEGORIES:
            if steps[s, 3] == 0:
                _sort(hits, first, last)
            for i in range(first, last):
                if hits[i] >= 0:
                    total += float(slots[hits[i], 0])
    return total + float(head[INTERCEPT])


@kernel
def _rate(rate: float, kind: float, power: float, t: int) -> float:
    """Return the learning rate at step t: constant, or rate / (t + 1)**power."""
    if kind == CONSTANT:
        return rate
    return rate / pow(float(t + 1), power)


@kernel
def _decay(beta: float, n: int) -> float:
    """Return beta**n for 0 <= beta < 1, n >= 1: a product while n <= 64, else exp(n log(beta))."""
    if n <= 64 or beta == 0.0:
        return pow(beta, float(n)) if n <= 64 else 0.0
    return exp(float(n) * log(beta))


@kernel
def _loss_gradient(settings: Floats, y: float, raw: float, weight: float) -> float:
    """Return the weighted, clipped derivative of the loss: 2 (p - y), or -y / (exp(y p) + 1) with y in {-1, 1}."""
    if settings[LOSS] == SQUARED:
        slope = 2.0 * (raw - y)
    else:
        sign = -1.0 if y == 0.0 else 1.0
        share = float(settings[WEIGHT_NEG]) if y == 0.0 else float(settings[WEIGHT_POS])
        z = raw * sign
        if z > 18.0:
            slope = share * exp(-z) * -sign
        elif z < -18.0:
            slope = share * -sign
        else:
            slope = share * -sign / (exp(z) + 1.0)
    slope = slope * weight
    clip = float(settings[CLIP])
    if slope > clip:
        return clip
    if slope < -clip:
        return -clip
    return slope


@kernel
def _step(settings: Floats, rows: Floats, i: int, gradient: float, rate: float) -> None:
    """Move weight rows[i, 0] against its gradient (with l2): SGD, AdaGrad (g2 in 1), Adam (m in 1, v in 2)."""
    w = float(rows[i, 0])
    g = gradient
    l2 = float(settings[L2])
    if l2 != 0.0:
        g = g + l2 * w
    if settings[OPTIMIZER] == SGD:
        rows[i, 0] = w - rate * g
    elif settings[OPTIMIZER] == ADAGRAD:
        squares = float(rows[i, 1]) + g * g
        rows[i, 1] = squares
        rows[i, 0] = w - rate / sqrt(squares + float(settings[EPS])) * g
    else:
        b1 = float(settings[BETA_1])
        b2 = float(settings[BETA_2])
        m = b1 * float(rows[i, 1]) + (1.0 - b1) * g
        u = b2 * float(rows[i, 2]) + (1.0 - b2) * (g * g)
        rows[i, 1] = m
        rows[i, 2] = u
        rows[i, 0] = w - rate * m / (sqrt(u) + float(settings[EPS]))


@kernel
def _step_zeros(plan: Any, state: Any, s: int, rate: float, hits: Ints) -> None:
    """Step every learned category of an encoder that this row does not have: its value is an explicit 0."""
    steps, _links, settings = plan
    _values, _head, counts, slots, keys, _table = state
    first = steps[s, 1]
    last = steps[s, 2]
    for i in range(first, last):
        if hits[i] >= 0:
            keys[hits[i], 2] = 1
    for slot in range(counts[SLOTS]):
        if first <= keys[slot, 0] < last and keys[slot, 2] == 0:
            _step(settings, slots, slot, 0.0, rate)
    for i in range(first, last):
        if hits[i] >= 0:
            keys[hits[i], 2] = 0


@kernel
def _descend(plan: Any, state: Any, x: Floats, row: int, dense: bool, v: Floats, hits: Ints, slope: float) -> None:
    """Move the intercept, then the weight of every term present; each term's gradient is its value times `slope`."""
    steps, links, settings = plan
    values, head, counts, slots, _keys, _table = state
    t = int(counts[STEPS_TAKEN])
    bias = _rate(float(settings[BIAS_RATE]), settings[BIAS_KIND], float(settings[BIAS_POWER]), t)
    head[INTERCEPT] = float(head[INTERCEPT]) - bias * slope
    rate = _rate(float(settings[RATE]), settings[RATE_KIND], float(settings[RATE_POWER]), t)
    adam = settings[OPTIMIZER] == ADAM
    if adam:
        rate = rate * sqrt(1.0 - _decay(float(settings[BETA_2]), t + 1))
        rate = rate / (1.0 - _decay(float(settings[BETA_1]), t + 1))
    for s in range(steps.shape[0]):
        operation = steps[s, 0]
        if operation == NUMBERS:
            for i in range(steps[s, 1], steps[s, 2]):
                if dense or _present(x, row, links[i, 1]):
                    _step(settings, values, i, float(v[links[i, 0]]) * slope, rate)
        elif operation == CATEGORIES:
            for i in range(steps[s, 1], steps[s, 2]):
                if hits[i] >= 0:
                    _step(settings, slots, hits[i], slope, rate)
            if steps[s, 3] == 0 and (adam or settings[L2] != 0.0):
                _step_zeros(plan, state, s, rate, hits)
    counts[STEPS_TAKEN] = t + 1


@kernel(
    signature="i8(Tuple((u1[::1], i8[::1], f8[:,::1], f8[::1], f8[::1])), Tuple((i8[:,::1], i8[:,::1], f8[::1])), "
    "Tuple((f8[:,::1], f8[::1], i8[::1], f8[:,::1], i8[:,::1], i8[:,::1])), Tuple((f8[::1], i8[::1])), i8)"
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
    _values, _head, counts, slots, _keys, table = state
    score, status = out
    v = np.empty(x.shape[1] + links.shape[0])
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
        dense = _is_dense(x, row)
        status[i] = _forward(plan, state, x, row, learning, dense, v, hits)
        if status[i] != 0:
            continue
        raw = _dot(plan, state, x, row, dense, v, hits)
        if learning:
            slope = _loss_gradient(settings, float(y[i]), raw, float(weight[i]))
            _descend(plan, state, x, row, dense, v, hits, slope)
        else:
            score[i] = sigmoid(raw) if settings[LOSS] == LOG else raw
    return learn.shape[0]


@kernel(
    signature="void(i8[:,::1], Tuple((f8[:,::1], f8[::1], i8[::1], f8[:,::1], i8[:,::1], i8[:,::1])), i8[::1], i8[::1])"
)
def insert(links: Ints, state: Any, of: Ints, categories: Ints) -> None:
    """Make the slots of (of[i], categories[i]) in this order; the caller has made room."""
    for i in range(of.shape[0]):
        new_slot(links, state, of[i], categories[i])

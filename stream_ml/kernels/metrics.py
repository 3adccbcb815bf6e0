"""Prequential metrics: accuracy, log loss, ROC AUC, MAE and RMSE, over all labels and over each group's last N.

Nothing is ever subtracted from a floating sum. Over the last N labels, classification keeps exact integers (counts, and
the loss in units of 2^-40), which adding and taking away leave exact. Regression keeps the sums of blocks of 128
errors and folds those inside the window; the block that the window's far edge cuts is added up from its errors. Sums
over all labels are compensated (Neumaier).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import log

#: What is measured.
BINARY, MULTICLASS, ANOMALY, REGRESSION = 0, 1, 2, 3
#: Columns of `table` [groups, 7]: labels, right answers, those in the window, loss in the window, its ring in the slab
#: (place and room), and whether there were labels since its values were last computed.
COUNT, RIGHT, RECENT_RIGHT, RECENT_LOSS, PLACE, ROOM, CHANGED = 0, 1, 2, 3, 4, 5, 6
COLUMNS = 7
#: Columns of `sums` [groups, 4]: a sum and its compensation, twice.
SUMS = 4
#: Bins of a probability, and of any score: below 0, from 0 to 1, above 1.
BINS = 1024
BELOW, ABOVE = 512, 512
ANY_BINS = BELOW + BINS + ABOVE
#: A packed label: loss * 2^40 (46 bits), bin (11 bits), truth, right.
UNIT = 1099511627776.0
LOSS_SHIFT, BIN_SHIFT = 13, 2
BIN_MASK = 2047
#: Errors summed in one block.
BLOCK = 128
#: Errors and scores beyond are taken as this, so that no square can overflow.
LARGEST = 1e100
CLIP = 1e-15
#: Fewer labels make fewer than 2^62 pairs, which are counted as whole numbers.
EXACT_PAIRS = 2147483648


@kernel
def bin_of(p: float) -> int:
    """Return the bin of a probability: floor(B t), t = sqrt(p/2) up to a half, 1 - sqrt((1-p)/2) from there.

    The map is monotone, and its bins are narrow where scores crowd: near 0 and 1.
    """
    if p <= 0.0:
        return 0
    if p >= 1.0:
        return BINS - 1
    if p <= 0.5:
        return min(int(BINS * math.sqrt(0.5 * p)), BINS // 2 - 1)
    return max(BINS - 1 - int(BINS * math.sqrt(0.5 * (1.0 - p))), BINS // 2)


@kernel
def any_bin_of(x: float) -> int:
    """Return the bin of any score: as a probability from 0 to 1, else by sixteenths of an octave of its size.

    Sizes above 1 are told apart up to 2^32, those below 0 from 2^-16 to 2^16.
    """
    if x < 0.0:
        mantissa, exponent = math.frexp(-x)
        step = 16 * (exponent + 15) + int((mantissa - 0.5) * 32.0)
        return BELOW - 1 - min(max(step, 0), BELOW - 1)
    if x <= 1.0:
        return BELOW + bin_of(x)
    mantissa, exponent = math.frexp(x)
    step = 16 * (exponent - 1) + int((mantissa - 0.5) * 32.0)
    return BELOW + BINS + min(step, ABOVE - 1)


@kernel
def loss_of(truth: bool, p: float) -> float:
    """Return -log(p) if true, -log(1 - p) if not, with p clipped to [1e-15, 1 - 1e-15]."""
    p = min(max(p, CLIP), 1.0 - CLIP)
    return -log(p) if truth else -log(1.0 - p)


@kernel
def accumulate(sums: NDArray[np.float64], x: float) -> None:
    """Add x to a compensated sum (sum, lost), whose value is sum + lost (Neumaier)."""
    total = sums[0] + x
    if abs(sums[0]) >= abs(x):
        sums[1] += (sums[0] - total) + x
    else:
        sums[1] += (x - total) + sums[0]
    sums[0] = total


@kernel(inlined=True)
def has_room(groups: NDArray[np.int64], table: NDArray[np.int64], last: int) -> bool:
    """Say whether each ring of the row's groups has room for one more label, or is as long as it may be."""
    for j in range(groups.shape[0]):
        g = groups[j]
        if g >= 0 and table[g, ROOM] < last and table[g, COUNT] >= table[g, ROOM]:
            return False
    return True


@kernel(inlined=True)
def pack(kind: int, y: float, score: float, predicted: float) -> int:
    """Return what a ring keeps of one label: loss, bin, truth, right; -1 where something needed is missing."""
    if kind == MULTICLASS:
        if y != y or predicted != predicted:
            return -1
        return 1 if y == predicted else 0
    if y != y or score != score:
        return -1
    truth = y != 0.0
    told = 2 if truth else 0
    if kind == ANOMALY:
        return (any_bin_of(min(max(score, -LARGEST), LARGEST)) << BIN_SHIFT) + told
    if predicted != predicted:
        return -1
    right = 1 if truth == (predicted != 0.0) else 0
    p = min(max(score, 0.0), 1.0)
    loss = int(loss_of(truth, p) * UNIT + 0.5)
    return (loss << LOSS_SHIFT) + (bin_of(p) << BIN_SHIFT) + told + right


@kernel(inlined=True)
def forget(label: int, g: int, table: NDArray[np.int64], recent: NDArray[np.int64]) -> None:
    """Take a packed label out of the group's window: whole numbers, hence exact."""
    table[g, RECENT_RIGHT] -= label & 1
    table[g, RECENT_LOSS] -= label >> LOSS_SHIFT
    if recent.shape[2] > 0:
        recent[g, (label >> 1) & 1, (label >> BIN_SHIFT) & BIN_MASK] -= 1


@kernel(inlined=True)
def remember(label: int, g: int, table: NDArray[np.int64], recent: NDArray[np.int64]) -> None:
    """Take a packed label into the group's window."""
    table[g, RECENT_RIGHT] += label & 1
    table[g, RECENT_LOSS] += label >> LOSS_SHIFT
    if recent.shape[2] > 0:
        recent[g, (label >> 1) & 1, (label >> BIN_SHIFT) & BIN_MASK] += 1


@kernel(signature="i8(i8[::1], f8[:,::1], i8[:,::1], i8[:,::1], f8[:,::1], i8[:,:,::1], i8[:,:,::1], i8[::1])")
def classify(
    limits: NDArray[np.int64],
    answers: NDArray[np.float64],
    groups: NDArray[np.int64],
    table: NDArray[np.int64],
    sums: NDArray[np.float64],
    bins: NDArray[np.int64],
    recent: NDArray[np.int64],
    slab: NDArray[np.int64],
) -> int:
    """Measure answers (truth, score, prediction) [3, n] in order, for each row's groups [n, 1 + s].

    `limits` is (kind, last N, first row, count of the whole at which to stop). Returns the row to go on from: the one
    after that count was reached, one for which a ring must be lengthened first, or n.
    """
    kind, last, start, target = limits[0], limits[1], limits[2], limits[3]
    for i in range(start, groups.shape[0]):
        label = pack(kind, answers[0, i], answers[1, i], answers[2, i])
        if label < 0:
            continue
        if not has_room(groups[i], table, last):
            return i
        loss = 0.0
        if kind == BINARY:
            loss = loss_of(answers[0, i] != 0.0, min(max(answers[1, i], 0.0), 1.0))
        for j in range(groups.shape[1]):
            g = groups[i, j]
            if g < 0:
                continue
            count = table[g, COUNT]
            place = table[g, PLACE] + count % table[g, ROOM]
            if count >= last:
                forget(slab[place], g, table, recent)
            slab[place] = label
            remember(label, g, table, recent)
            table[g, COUNT] = count + 1
            table[g, CHANGED] = 1
            table[g, RIGHT] += label & 1
            if kind == BINARY:
                accumulate(sums[g, 0:2], loss)
            if bins.shape[2] > 0:
                bins[g, (label >> 1) & 1, (label >> BIN_SHIFT) & BIN_MASK] += 1
        if table[0, COUNT] == target:
            return i + 1
    return len(groups)


@kernel(signature="i8(i8[::1], f8[:,::1], i8[:,::1], i8[:,::1], f8[:,::1], f8[::1])")
def regress(
    limits: NDArray[np.int64],
    answers: NDArray[np.float64],
    groups: NDArray[np.int64],
    table: NDArray[np.int64],
    sums: NDArray[np.float64],
    slab: NDArray[np.float64],
) -> int:
    """Measure answers (truth, score, prediction) [3, n] as :func:`classify` does; rings keep errors and block sums.

    A ring of room R is R errors, then R // 128 + 2 pairs: the sums of a block's errors and of their squares.
    """
    last, start, target = limits[1], limits[2], limits[3]
    for i in range(start, groups.shape[0]):
        y, told = answers[0, i], answers[2, i]
        if y != y or told != told:
            continue
        if not has_room(groups[i], table, last):
            return i
        apart = min(max(told, -LARGEST), LARGEST) - min(max(y, -LARGEST), LARGEST)
        error = abs(apart)
        for j in range(groups.shape[1]):
            g = groups[i, j]
            if g < 0:
                continue
            count, room, place = table[g, COUNT], table[g, ROOM], table[g, PLACE]
            slab[place + count % room] = error
            block = place + room + 2 * ((count // BLOCK) % (room // BLOCK + 2))
            if count % BLOCK == 0:
                slab[block] = 0.0
                slab[block + 1] = 0.0
            slab[block] += error
            slab[block + 1] += error * error
            table[g, COUNT] = count + 1
            table[g, CHANGED] = 1
            accumulate(sums[g, 0:2], error)
            accumulate(sums[g, 2:4], error * error)
        if table[0, COUNT] == target:
            return i + 1
    return len(groups)


@kernel
def window_sums(count: int, last: int, place: int, room: int, slab: NDArray[np.float64]) -> tuple[float, float]:
    """Return the sums of the last N errors and of their squares: the cut block's newest errors, then whole blocks."""
    first = max(0, count - last)
    block = -(-first // BLOCK)
    total, squares = 0.0, 0.0
    for k in range(first, min(block * BLOCK, count)):
        error = slab[place + k % room]
        total += error
        squares += error * error
    blocks = room // BLOCK + 2
    while block * BLOCK < count:
        at = place + room + 2 * (block % blocks)
        total += slab[at]
        squares += slab[at + 1]
        block += 1
    return total, squares


@kernel
def area(false: NDArray[np.int64], true: NDArray[np.int64], n: int) -> float:
    """Return the area under the ROC curve of n binned scores: the share of (true, false) pairs in the right order.

    With t_b true and f_b false labels in bin b, T and F in all, and ties by trapezoid:
    A = sum_b f_b (sum_{c > b} t_c + t_b / 2) / (T F); NaN unless there are labels of both kinds.
    |A - exact| <= sum_b f_b t_b / (2 T F), since only the order within a bin is unknown: see :func:`uncertainty`.
    """
    trues, falses = 0, 0
    doubled = 0.0
    if n < EXACT_PAIRS:
        pairs = 0
        for b in range(true.shape[0] - 1, -1, -1):
            t, f = true[b], false[b]
            pairs += f * (2 * trues + t)
            trues += t
            falses += f
        doubled = float(pairs)
    else:
        for b in range(true.shape[0] - 1, -1, -1):
            doubled += float(false[b]) * (2.0 * float(trues) + float(true[b]))
            trues += true[b]
            falses += false[b]
    if trues == 0 or falses == 0:
        return math.nan
    return doubled / (2.0 * float(trues) * float(falses))


@kernel(signature="f8(i8[:,::1])")
def uncertainty(bins: NDArray[np.int64]) -> float:
    """Return how far the binned area can be from the exact one: sum_b f_b t_b / (2 T F); bins [false or true, B]."""
    same, falses, trues = 0.0, 0.0, 0.0
    for b in range(bins.shape[1]):
        f, t = float(bins[0, b]), float(bins[1, b])
        same += f * t
        falses += f
        trues += t
    if trues == 0.0 or falses == 0.0:
        return math.nan
    return same / (2.0 * trues * falses)


@kernel(signature="void(i8[::1], i8[:,::1], f8[:,::1], i8[:,:,::1], i8[:,:,::1], f8[:,:,::1])")
def classification_values(
    limits: NDArray[np.int64],
    table: NDArray[np.int64],
    sums: NDArray[np.float64],
    bins: NDArray[np.int64],
    recent: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Write (accuracy, log loss, ROC AUC) of each changed group into `values` [groups, all or recent, 3].

    Accuracy = right / n; log loss = sum of losses / n; ROC AUC as :func:`area`, NaN without labels of both kinds.
    """
    last = limits[1]
    for g in range(values.shape[0]):
        if table[g, CHANGED] == 0:
            continue
        table[g, CHANGED] = 0
        n = float(table[g, COUNT])
        held = min(n, float(last))
        values[g, 0, 0] = table[g, RIGHT] / n
        values[g, 1, 0] = table[g, RECENT_RIGHT] / held
        values[g, 0, 1] = (sums[g, 0] + sums[g, 1]) / n
        values[g, 1, 1] = table[g, RECENT_LOSS] / UNIT / held
        if bins.shape[2] > 0:
            values[g, 0, 2] = area(bins[g, 0], bins[g, 1], table[g, COUNT])
            values[g, 1, 2] = area(recent[g, 0], recent[g, 1], last)


@kernel(signature="void(i8[::1], i8[:,::1], f8[:,::1], f8[::1], f8[:,:,::1])")
def regression_values(
    limits: NDArray[np.int64],
    table: NDArray[np.int64],
    sums: NDArray[np.float64],
    slab: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Write (mean absolute error, root of the mean squared error) of each changed group into `values` [g, 2, 3]."""
    last = limits[1]
    for g in range(values.shape[0]):
        if table[g, CHANGED] == 0:
            continue
        table[g, CHANGED] = 0
        n = float(table[g, COUNT])
        held = min(n, float(last))
        total, squares = window_sums(table[g, COUNT], last, table[g, PLACE], table[g, ROOM], slab)
        values[g, 0, 0] = (sums[g, 0] + sums[g, 1]) / n
        values[g, 0, 1] = math.sqrt((sums[g, 2] + sums[g, 3]) / n)
        values[g, 1, 0] = total / held
        values[g, 1, 1] = math.sqrt(squares / held)


@kernel(signature="void(i8[::1], i8[:,::1], i8[:,:,::1], i8[::1])")
def recount(
    limits: NDArray[np.int64], table: NDArray[np.int64], recent: NDArray[np.int64], slab: NDArray[np.int64]
) -> None:
    """Count every group's window anew from its ring, after a restore."""
    last = limits[1]
    for g in range(table.shape[0]):
        count, room, place = table[g, COUNT], table[g, ROOM], table[g, PLACE]
        for k in range(max(0, count - last), count):
            remember(slab[place + k % room], g, table, recent)


@kernel(signature="void(i8[::1], i8[:,::1], f8[::1])")
def resum(limits: NDArray[np.int64], table: NDArray[np.int64], slab: NDArray[np.float64]) -> None:
    """Sum anew, after a restore, every block of errors that starts inside its group's window."""
    last = limits[1]
    for g in range(table.shape[0]):
        count, room, place = table[g, COUNT], table[g, ROOM], table[g, PLACE]
        first = max(0, count - last)
        for k in range(-(-first // BLOCK) * BLOCK, count):
            error = slab[place + k % room]
            block = place + room + 2 * ((k // BLOCK) % (room // BLOCK + 2))
            if k % BLOCK == 0:
                slab[block] = 0.0
                slab[block + 1] = 0.0
            slab[block] += error
            slab[block + 1] += error * error

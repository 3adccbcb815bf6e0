"""The column machine: a program of instructions, each carried out over all rows of a turn before the next.

Registers are rows of one matrix, NaN is missing, and whatever is not finite is missing. The program is data, so nothing
is compiled for a user's file.
"""

from __future__ import annotations

import math

import numpy as np

from stream_ml.kernels.arrays import Floats, Ints
from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import cos, exp, log, log1p, sin
from stream_ml.kernels.math import pow as power

NAMES = (
    "+", "-", "*", "/", "**", "<", "<=", ">", ">=", "==", "!=", "&", "|", "neg", "not", "log", "log1p", "exp", "sqrt",
    "sin", "cos", "abs", "clip", "round", "scale", "hour", "weekday", "month", "minute_of_day", "fill", "when",
    "is_missing", "category", "bin", "copy", "cyclic_sin", "cyclic_cos",
)  # fmt: skip
#: Instruction number of each name.
OPS = {name: number for number, name in enumerate(NAMES)}
(
    PLUS, MINUS, TIMES, OVER, POWER, LT, LE, GT, GE, EQ, NE, AND, OR, NEG, NOT, LOG, LOG1P, EXP, SQRT,
    SIN, COS, ABS, CLIP, ROUND, SCALE, HOUR, WEEKDAY, MONTH, MINUTE, FILL, WHEN,
    MISSING, CATEGORY, BIN, COPY, CYCLIC_SIN, CYCLIC_COS,
) = range(len(NAMES))  # fmt: skip
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
#: 1.5 * 2**52: adding and subtracting it rounds half to even.
ROUNDER = 6755399441055744.0
EXACT = 2251799813685248.0
TAU = 6.283185307179586


@kernel
def finite(x: float) -> float:
    """Return x, or missing where it is not finite."""
    if x - x == 0.0:
        return x
    return np.nan


@kernel
def arithmetic(op: int, a: float, b: float) -> float:
    """Return a op b; missing where either is, where b is a zero divisor, where the result is not finite."""
    if a != a or b != b:  # missing
        return np.nan
    if op == PLUS:
        r = a + b
    elif op == MINUS:
        r = a - b
    elif op == TIMES:
        r = a * b
    elif op == OVER:
        r = np.nan if b == 0.0 else a / b
    else:
        r = power(a, b)
    return finite(r)


@kernel
def compare(op: int, a: float, b: float) -> float:
    """Return whether a op b as 1.0 or 0.0; missing where either is."""
    if a != a or b != b:  # missing
        return np.nan
    if op == LT:
        r = a < b
    elif op == LE:
        r = a <= b
    elif op == GT:
        r = a > b
    elif op == GE:
        r = a >= b
    elif op == EQ:
        r = a == b
    else:
        r = a != b
    return 1.0 if r else 0.0


@kernel
def logic(op: int, a: float, b: float) -> float:
    """Return the three-valued and, or: a known false (true) side decides, else missing wins."""
    decides = 0.0 if op == AND else 1.0
    if a == decides or b == decides:
        return decides
    if a != a or b != b:  # missing
        return np.nan
    return 1.0 - decides


@kernel
def function(op: int, a: float) -> float:
    """Return the function of one number; missing where it is not defined."""
    if op == MISSING:
        return 0.0 if a == a else 1.0
    if a != a:  # missing
        return np.nan
    r = np.nan
    if op == NEG:
        r = -a
    elif op == NOT:
        r = 1.0 - a
    elif op == LOG:
        if a > 0.0:
            r = log(a)
    elif op == LOG1P:
        if a > -1.0:
            r = log1p(a)
    elif op == EXP:
        r = exp(a)
    elif op == SQRT:
        if a >= 0.0:
            r = math.sqrt(a)
    elif op == SIN:
        r = sin(a)
    elif op == COS:
        r = cos(a)
    elif op == ABS:
        r = abs(a)
    elif op == CATEGORY:
        r = np.float64(np.int64(a)) if abs(a) <= 4.0 * EXACT else np.nan
    return finite(r)


@kernel
def half_even(x: float, scale: float) -> float:
    """Return x * scale rounded half to even, divided by scale."""
    y = x * scale
    if abs(y) >= EXACT or y != y:
        return x
    return ((y + ROUNDER) - ROUNDER) / scale


@kernel
def local_ms(t: int, zone: int, transitions: Ints, offsets: Ints, bounds: Ints) -> int:
    """Return the local time of t (epoch ms) in a zone: t plus the offset of the last transition not after it."""
    low = bounds[zone]
    high = bounds[zone + 1]
    first = low
    while low < high:
        middle = (low + high) // 2
        if transitions[middle] <= t:
            low = middle + 1
        else:
            high = middle
    if low == first:
        return t + int(offsets[first])
    return t + int(offsets[low - 1])


@kernel
def month_of(days: int) -> int:
    """Return the month, 1 to 12, of a day counted from 1970-01-01 (Howard Hinnant, civil_from_days)."""
    z = days + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    return mp + 3 if mp < 10 else mp - 9


@kernel
def calendar(op: int, a: float, zone: int, transitions: Ints, offsets: Ints, bounds: Ints) -> float:
    """Return a part of the local time of a (epoch ms); Monday is 0."""
    if a != a or abs(a) >= EXACT:  # missing
        return np.nan
    t = local_ms(int(a), zone, transitions, offsets, bounds)
    if op == HOUR:
        return np.float64((t // HOUR_MS) % 24)
    if op == WEEKDAY:
        return np.float64((t // DAY_MS + 3) % 7)
    if op == MINUTE:
        return np.float64((t // 60_000) % 1440)
    return np.float64(month_of(t // DAY_MS))


@kernel
def choose(op: int, a: float, b: float, c: float) -> float:
    """Return the result of an instruction with up to three operands that may each be missing."""
    if op == FILL:
        return a if a == a else b
    if op == WHEN:
        if a != a:  # missing
            return np.nan
        return b if a == 1.0 else c
    if a != a:  # missing
        return np.nan
    if op == CLIP:
        if a < b:
            return b
        return c if a > c else a
    if op == ROUND:
        return finite(half_even(a, b))
    if op == SCALE:
        return finite(a / b)
    if op == BIN:
        return (c if c == c else 0.0) + (1.0 if b <= a else 0.0)
    angle = finite(TAU * a / b)
    if angle != angle:
        return angle
    return sin(angle) if op == CYCLIC_SIN else cos(angle)


@kernel(signature="void(i8[:,::1], f8[:,::1], i8[::1], i8[::1], i8[::1], i8)")
def run(program: Ints, registers: Floats, transitions: Ints, offsets: Ints, bounds: Ints, rows: int) -> None:
    """Carry out a program over the first `rows` columns of the registers.

    Parameters
    ----------
    program
        int64[m, 5]: instruction, destination, a, b, c (registers; for parts of a local time b is the zone).
    registers
        float64[registers, capacity].
    transitions, offsets, bounds
        UTC transitions (ms) and offsets (ms) of every zone; zone z has bounds[z] .. bounds[z + 1].
    """
    for i in range(program.shape[0]):
        op = program[i, 0]
        dst = program[i, 1]
        a = program[i, 2]
        b = program[i, 3]
        c = program[i, 4]
        if op == COPY:
            for g in range(rows):
                registers[dst, g] = registers[a, g]
        elif op <= POWER:
            for g in range(rows):
                registers[dst, g] = arithmetic(op, float(registers[a, g]), float(registers[b, g]))
        elif op <= NE:
            for g in range(rows):
                registers[dst, g] = compare(op, float(registers[a, g]), float(registers[b, g]))
        elif op <= OR:
            for g in range(rows):
                registers[dst, g] = logic(op, registers[a, g], registers[b, g])
        elif HOUR <= op <= MINUTE:
            for g in range(rows):
                registers[dst, g] = calendar(op, registers[a, g], b, transitions, offsets, bounds)
        elif op <= ABS or op == MISSING or op == CATEGORY:
            for g in range(rows):
                registers[dst, g] = function(op, float(registers[a, g]))
        else:
            for g in range(rows):
                registers[dst, g] = choose(op, float(registers[a, g]), float(registers[b, g]), float(registers[c, g]))

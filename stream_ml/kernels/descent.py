"""Gradient descent as river 0.26 has it: losses, learning rates, SGD, AdaGrad and Adam, a weight at a time or all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.kernels.jit import kernel
from stream_ml.kernels.math import exp, log, pow, sqrt

Floats = NDArray[np.float64]

SGD, ADAGRAD, ADAM = range(3)
CONSTANT, INVERSE = range(2)
SQUARED, LOG = range(2)

#: Places in `settings`.
(LOSS, OPTIMIZER, RATE, RATE_KIND, RATE_POWER, BETA_1, BETA_2, EPS, L2, CLIP) = range(10)
(BIAS_RATE, BIAS_KIND, BIAS_POWER, WEIGHT_POS, WEIGHT_NEG) = range(10, 15)
SETTINGS = 15


@kernel(inlined=True)
def rate_at(rate: float, kind: float, power: float, t: int) -> float:
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


@kernel(inlined=True)
def loss_gradient(settings: Floats, y: float, raw: float, weight: float) -> float:
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


@kernel(inlined=True)
def step(settings: Floats, rows: Floats, i: int, gradient: float, rate: float) -> None:
    """Move weight rows[0, i] against its gradient (with l2): SGD, AdaGrad (g2 in row 1), Adam (m in 1, v in 2)."""
    w = float(rows[0, i])
    g = gradient
    l2 = float(settings[L2])
    if l2 != 0.0:
        g = g + l2 * w
    if settings[OPTIMIZER] == SGD:
        rows[0, i] = w - rate * g
    elif settings[OPTIMIZER] == ADAGRAD:
        squares = float(rows[1, i]) + g * g
        rows[1, i] = squares
        rows[0, i] = w - rate / sqrt(squares + float(settings[EPS])) * g
    else:
        b1 = float(settings[BETA_1])
        b2 = float(settings[BETA_2])
        m = b1 * float(rows[1, i]) + (1.0 - b1) * g
        u = b2 * float(rows[2, i]) + (1.0 - b2) * (g * g)
        rows[1, i] = m
        rows[2, i] = u
        rows[0, i] = w - rate * m / (sqrt(u) + float(settings[EPS]))


@kernel(inlined=True)
def _all_sgd(x: Floats, base: Floats, weights: Floats, slope: float, rate: float, l2: float) -> None:
    for i in range(x.shape[0]):
        w = float(weights[i])
        g = float(x[i]) * slope
        g = g + l2 * w if l2 != 0.0 else g
        weights[i] = w - rate * g if base[i] == base[i] else w


@kernel(inlined=True)
def _all_adagrad(
    x: Floats, base: Floats, weights: Floats, squares: Floats, slope: float, rate: float, l2: float, eps: float
) -> None:
    for i in range(x.shape[0]):
        here = base[i] == base[i]
        w = float(weights[i])
        g = float(x[i]) * slope
        g = g + l2 * w if l2 != 0.0 else g
        old = float(squares[i])
        total = old + g * g if here else old
        squares[i] = total
        weights[i] = w - rate / sqrt(total + eps) * g if here else w


@kernel(inlined=True)
def _all_moments(
    x: Floats, base: Floats, weights: Floats, first: Floats, second: Floats, slope: float, l2: float, b1: float,
    b2: float,
) -> None:  # fmt: skip
    """Update Adam's decaying means of every gradient and of its square."""
    for i in range(x.shape[0]):
        here = base[i] == base[i]
        g = float(x[i]) * slope
        g = g + l2 * float(weights[i]) if l2 != 0.0 else g
        m = float(first[i])
        v = float(second[i])
        first[i] = b1 * m + (1.0 - b1) * g if here else m
        second[i] = b2 * v + (1.0 - b2) * (g * g) if here else v


@kernel(inlined=True)
def _all_adam(base: Floats, weights: Floats, first: Floats, second: Floats, rate: float, eps: float) -> None:
    for i in range(base.shape[0]):
        w = float(weights[i])
        moved = w - rate * float(first[i]) / (sqrt(float(second[i])) + eps)
        weights[i] = moved if base[i] == base[i] else w


@kernel(inlined=True)
def step_all(
    settings: Floats, rows: Floats, first: int, last: int, x: Floats, base: Floats, slope: float, rate: float
) -> None:
    """Do what :func:`step` does with columns `first` to `last` of `rows`, but for those whose `base` is NaN.

    The gradient of each is its x times `slope`. Straight loops, in which a compiler can take several at once.
    """
    weights = rows[0, first:last]
    l2 = float(settings[L2])
    if settings[OPTIMIZER] == SGD:
        _all_sgd(x, base, weights, slope, rate, l2)
    elif settings[OPTIMIZER] == ADAGRAD:
        _all_adagrad(x, base, weights, rows[1, first:last], slope, rate, l2, float(settings[EPS]))
    else:
        m = rows[1, first:last]
        v = rows[2, first:last]
        _all_moments(x, base, weights, m, v, slope, l2, float(settings[BETA_1]), float(settings[BETA_2]))
        _all_adam(base, weights, m, v, rate, float(settings[EPS]))


@kernel
def weight_rate(settings: Floats, t: int) -> float:
    """Return the optimizer's rate at step t; Adam's is corrected: rate sqrt(1 - b2**(t + 1)) / (1 - b1**(t + 1))."""
    found = rate_at(float(settings[RATE]), settings[RATE_KIND], float(settings[RATE_POWER]), t)
    if settings[OPTIMIZER] == ADAM:
        found = found * sqrt(1.0 - _decay(float(settings[BETA_2]), t + 1))
        found = found / (1.0 - _decay(float(settings[BETA_1]), t + 1))
    return found

"""Our own exp, log, sin and the rest: close to libm everywhere, and the same bits interpreted."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from stream_ml.kernels import math as own

PROGRAM = """
import hashlib, sys
from tests.kernels.test_math import FUNCTIONS, everywhere
import numpy as np
seen = hashlib.sha256()
for name, function in FUNCTIONS.items():
    seen.update(np.array([function(x) for x in everywhere(7, 1500)]).tobytes())
print(seen.hexdigest())
"""

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "exp": own.exp,
    "log": own.log,
    "log1p": own.log1p,
    "sin": own.sin,
    "cos": own.cos,
    "sqrt": own.sqrt,
    "sigmoid": own.sigmoid,
    "cube": lambda x: own.pow(x, 3.0),
    "root": lambda x: own.pow(x, 1.0 / 3.0),
    "inverse square": lambda x: own.pow(x, -2.0),
}


def everywhere(seed: int, n: int) -> list[float]:
    """Return any bits, ordinary numbers, numbers about 1, and the edges."""
    rng = np.random.default_rng(seed)
    any_bits = [struct.unpack("d", rng.bytes(8))[0] for _ in range(n)]
    about_one = (1.0 + rng.normal(size=n) * 2.0 ** -rng.integers(1, 60, n)).tolist()
    edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        5e-324,
        2.2e-308,
        1.7e308,
        math.inf,
        -math.inf,
        math.nan,
        709.79,
        -745.2,
        -708.5,
        0.5,
        2.0,
    ]
    return [*any_bits, *rng.uniform(-760.0, 760.0, n).tolist(), *rng.normal(size=n).tolist(), *about_one, *edges]


def ulps(found: float, expected: float) -> float:
    if math.isnan(expected):
        return 0.0 if math.isnan(found) else math.inf
    return 0.0 if found == expected else abs(found - expected) / math.ulp(expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "bound"),
    [(own.exp, math.exp, 1.0), (own.log, math.log, 1.0), (own.log1p, math.log1p, 2.0), (own.sqrt, math.sqrt, 0.0)],
    ids=["exp", "log", "log1p", "sqrt"],
)
def test_close_to_libm_everywhere(
    ours: Callable[[float], float], theirs: Callable[[float], float], bound: float
) -> None:
    assert max(ulps(ours(x), _reference(theirs, x)) for x in everywhere(1, 20_000)) <= bound


def _reference(function: Callable[[float], float], x: float) -> float:
    if (function is math.log and x == 0.0) or (function is math.log1p and x == -1.0):
        return -math.inf
    try:
        return function(x)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_reduce_their_argument(name: str) -> None:
    ours, theirs = getattr(own, name), getattr(math, name)
    rng = np.random.default_rng(4)
    near = [k * math.pi / 2 for k in range(-2000, 1_000_000, 499)]
    for x in [
        *rng.uniform(-1.6e6, 1.6e6, 20_000).tolist(),
        *rng.normal(size=20_000).tolist(),
        *near,
        0.0,
        1e-300,
        1e-9,
    ]:
        assert ulps(ours(x), theirs(x)) <= 1.0, x


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_of_huge_arguments_are_finite_with_the_error_stated(name: str) -> None:
    ours, theirs = getattr(own, name), getattr(math, name)
    for x in 10.0 ** np.linspace(6.3, 308.0, 5000):
        assert -1.0 <= ours(x) <= 1.0
        assert abs(ours(x) - theirs(x)) <= 4e-17 * x + 1e-15
    assert math.isnan(ours(math.inf))
    assert math.isnan(ours(-math.inf))


def test_power() -> None:
    rng = np.random.default_rng(8)
    for a, b in zip(rng.lognormal(0.0, 3.0, 20_000).tolist(), rng.normal(0.0, 3.0, 20_000).tolist(), strict=True):
        exact = math.pow(a, b)
        assert abs(own.pow(a, b) - exact) <= 2e-16 * (2.0 + abs(b * math.log(a))) * exact
    for whole in range(-9, 10):
        for a in (-3.7, -1.0, 0.3, 2.0, 1e30):
            assert own.pow(a, float(whole)) == pytest.approx(math.pow(a, whole), rel=2e-15)
    assert own.pow(3.0, 2.0) == 9.0
    assert own.pow(2.0, 0.5) == math.sqrt(2.0)
    assert own.pow(0.0, 0.0) == own.pow(math.nan, 0.0) == 1.0
    assert own.pow(0.0, -1.0) == math.inf
    assert own.pow(0.0, 1.5) == 0.0
    assert math.isnan(own.pow(-2.0, 0.3))
    assert math.isnan(own.pow(-2.0, 0.5))
    assert own.pow(10.0, 400.0) == math.inf


def test_sigmoid_ends_at_thirty() -> None:
    assert own.sigmoid(30.1) == 1.0
    assert own.sigmoid(-30.1) == 0.0
    assert own.sigmoid(0.0) == 0.5
    assert own.sigmoid(2.0) == pytest.approx(1.0 / (1.0 + math.exp(-2.0)), rel=3e-16)


@pytest.mark.unjitted
def test_the_same_bits_interpreted() -> None:
    def digest(**switch: str) -> str:
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(command, env={**os.environ, **switch}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert digest() == digest(NUMBA_DISABLE_JIT="1")

"""Metrics and ADWIN give the same bits compiled and as plain Python."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream_ml.kernels import jit
from stream_ml.monitor import spec as declared
from stream_ml.monitor.adwin import ADWIN
from stream_ml.monitor.metrics import KINDS, Metrics


def fingerprint() -> str:
    """Return the digest of every value and state over small streams of each task."""
    rng = np.random.default_rng(99)
    n = 1_500
    seen = hashlib.sha256()
    groups = np.zeros((n, 2), np.int64)
    groups[:, 1] = rng.integers(-1, 4, n)
    for task in KINDS:
        score = rng.beta(0.5, 3, n)
        y = (rng.random(n) < score).astype(np.float64)
        predicted = (score > 0.5).astype(np.float64)
        if task == "regression":
            y, predicted = rng.standard_normal(n) * 1e6, rng.standard_normal(n)
        if task == "anomaly":
            score = rng.standard_cauchy(n)
        score[::7] = np.nan
        score[3::50], predicted[5::60] = np.inf, np.inf
        running = Metrics(task, declared.Monitor(every=300, last=400, max_groups=5), 1)
        found = running.update(y, score, predicted, groups)
        fresh = Metrics(task, declared.Monitor(every=300, last=400, max_groups=5), 1)
        fresh.load(running.save())
        for one in found + fresh.current():
            seen.update(f"{one.count} {one.group} {one.name} {one.window} {one.n}".encode())
            seen.update(np.float64(one.value).tobytes())
        for name, part in running.save().items():
            seen.update(name.encode() + np.asarray(part).tobytes())
        seen.update(np.array(running.auc_bound()).tobytes())
    values = (rng.random(n) < np.repeat(rng.random(5), n // 5)).astype(np.float64)
    values[::31], values[40], values[41] = np.nan, np.inf, -1e300
    detector = ADWIN(declared.ADWIN(delta=0.05, clock=8))
    seen.update(repr(detector.update(values * 0.1)).encode())
    for name, part in detector.save().items():
        seen.update(name.encode() + np.asarray(part).tobytes())
    return seen.hexdigest()


@pytest.mark.unjitted
@pytest.mark.skipif(not jit.COMPILED, reason="this run itself is unjitted")
def test_same_bits_without_the_compiler() -> None:
    folder = Path(__file__).resolve()
    code = f"import sys; sys.path.insert(0, {str(folder.parent)!r}); import {folder.stem} as t; print(t.fingerprint())"
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=folder.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == fingerprint()

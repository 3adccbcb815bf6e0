"""river is loaded without scipy.stats, and what needs it works all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import stream_ml.model
from river import linear_model, preprocessing
assert "river.proba.gaussian" in sys.modules
assert "scipy.stats" not in sys.modules, "river wants scipy.stats again: see stream_ml/model/lighter.py"
from river import drift, metrics, tree
detector = drift.KSWIN(seed=1)
found = [i for i in range(400) if detector.update(float(i % 7 + 20 * (i > 200))) or detector.drift_detected]
assert any(i > 200 for i in found), found
assert "scipy.stats" in sys.modules
import scipy.stats
from scipy.stats import norm
assert norm.cdf(0.0) == 0.5 and scipy.stats.norm is norm
assert metrics.GeometricMean and tree.SGTClassifier
print("right")
"""


@pytest.mark.slow
def test_river_is_loaded_without_scipy_stats() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "right\n"

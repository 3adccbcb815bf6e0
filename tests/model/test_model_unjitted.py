"""The compiled model gives the same bits as plain Python, with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
from stream_ml.model.build import build
from tests.model.estimators import INPUTS, classifiers, regressors, stream
from tests.model.tapes import Symbols, tape
seen = hashlib.sha256()
for task, estimators in (("binary", classifiers()), ("regression", regressors())):
    for name, estimator in estimators.items():
        symbols = Symbols()
        model = build(estimator, INPUTS, task, symbols)
        assert model.parts[0].compiled
        seen.update(model.run(tape(stream(3, 60, weighted=True, truth=task), INPUTS, symbols)).score.tobytes())
        state = model.save()
        seen.update(state["values"].tobytes() + state["rows"].tobytes() + repr(state["intercept"]).encode())
print(seen.hexdigest())
"""


@pytest.mark.unjitted
def test_the_same_bits_interpreted() -> None:
    def digest(**switch: str) -> str:
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(command, env={**os.environ, **switch}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert digest() == digest(NUMBA_DISABLE_JIT="1")

"""The compiled model gives the same bits as plain Python, with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
from stream_ml.model.build import build
from tests.model.estimators import INPUTS, WIDE, classifiers, regressors, stream, wide, wide_stream
from tests.model.tapes import Symbols, tape
seen = hashlib.sha256()
for task, inputs, estimators in (
    ("binary", INPUTS, classifiers()), ("regression", INPUTS, regressors()), ("binary", WIDE, wide())
):
    for name, estimator in estimators.items():
        symbols = Symbols()
        model = build(estimator, inputs, task, symbols)
        assert model.parts[0].compiled
        ops = wide_stream(4, 20) if inputs is WIDE else stream(3, 60, weighted=True, truth=task)
        seen.update(model.run(tape(ops, inputs, symbols)).score.tobytes())
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

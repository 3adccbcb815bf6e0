"""Other processes give the same bits: interpreted, with another hash seed, in another time zone (laws 1, 3)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, json, sys
from tests.laws.stories import log_of, pipeline, randomly, state, told, written
seen = hashlib.sha256()
for name in sys.argv[2:]:
    driver = told(pipeline(name), randomly(log_of(name, 41, int(sys.argv[1])), 41))
    driver.stop_and_recover()
    for kind, values in written(driver).items():
        seen.update(kind.encode() + b"\\n".join(values))
        assert values or kind not in ("predictions", "examples"), (name, kind)
    seen.update(json.dumps(state(driver), sort_keys=True).encode())
print(seen.hexdigest())
"""


def digest(size: int, *names: str, **environment: str) -> str:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(size), *names]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.unjitted
@pytest.mark.parametrize("names", [("silent", "watched"), ("answered", "exact"), ("rows",)], ids="+".join)
def test_the_same_bits_interpreted(names: tuple[str, ...]) -> None:
    assert digest(100, *names) == digest(100, *names, NUMBA_DISABLE_JIT="1")


@pytest.mark.slow
def test_the_same_bits_in_another_process() -> None:
    names = ("silent", "answered", "flights", "sms")
    one = digest(150, *names, PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C")
    assert one == digest(150, *names, PYTHONHASHSEED="2", TZ="America/New_York", LC_ALL="C.UTF-8")

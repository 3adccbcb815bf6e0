"""Real processes for the tests: start Python with a script, wait for a condition with a deadline."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

ROOT = Path(__file__).resolve().parents[2]


def python(script: str, *arguments: str, prelude: str = "") -> subprocess.Popen[str]:
    """Start a Python process that runs the script with the arguments as `sys.argv[1:]`."""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def command(*arguments: str) -> list[str]:
    """Spell a call of `stream-ml`."""
    return [sys.executable, "-m", "stream_ml.cli.main", *arguments]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the condition holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    pause = Event()
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        pause.wait(0.005)


def finished(process: subprocess.Popen[str], seconds: float = 60.0) -> str:
    """Wait for the process's end, require that it went well, give its stdout."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out

"""What every benchmark has in common: its command, children of its own, where its result goes."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import save

Found = dict[str, Any]
Benchmark = Callable[[bool], Found]
#: Where big streams and databases go while a benchmark runs.
SCRATCH = "STREAM_ML_SCRATCH"
#: Where quick results go.
QUICK = Path("out") / "bench"
#: Of quick runs: a dead worker's group notices sooner.
QUICK_SETTINGS = {"STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": "6000"}


def run(name: str, benchmark: Benchmark, *, quick: bool) -> Path:
    """Run a benchmark, print and write what it found.

    Parameters
    ----------
    name
        Its name: that of its result.
    benchmark
        Called with whether it is to be quick.
    quick
        Small streams; the result goes to ``out/bench`` and counts for nothing.
    """
    typed = f"python -m benchmarks {name}" + (" --quick" if quick else "")
    with environment(**QUICK_SETTINGS if quick else {}):
        found = benchmark(quick)
    path = save(name, {"command": typed, **found}, QUICK if quick else None)
    print(path.read_text(encoding="utf-8"))
    return path


def main(name: str, benchmark: Benchmark, about: str | None) -> None:
    """Be the command of one benchmark."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small streams; the result is not kept")
    run(name, benchmark, quick=parser.parse_args().quick)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards; ``STREAM_ML_SCRATCH`` says on which disk."""
    with tempfile.TemporaryDirectory(prefix="stream-ml-bench-", dir=os.environ.get(SCRATCH)) as made:
        yield Path(made)


@contextmanager
def environment(**given: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def child(module: str, *arguments: object) -> Found:
    """Run a module in a process of its own and return the JSON that it prints last.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    return answer(start(module, *arguments))


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a module in a process of its own; :func:`answer` waits for it."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str], said: str | None = None) -> Found:
    """Wait for a process that was started, and return the JSON of its last line."""
    out, err = process.communicate(said)
    if process.returncode:
        msg = f"{process.args!r} ended with {process.returncode}: {err[-2000:]}"
        raise RuntimeError(msg)
    found: Found = json.loads(out.strip().splitlines()[-1])
    return found


def cli(*arguments: object) -> list[str]:
    """Spell a call of `stream-ml`."""
    return [sys.executable, "-m", "stream_ml.cli.main", *map(str, arguments)]


def memory() -> int:
    """Return the bytes of memory that this process has resident now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def spread(values: Sequence[float], digits: int = 2) -> Found:
    """Return the median and the range of some measurements."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"median": round(median, digits), "range": [round(ordered[0], digits), round(ordered[-1], digits)]}


def check(*, holds: bool, what: str) -> None:
    """End the benchmark where an answer is wrong: a fast wrong answer is a failed run.

    Raises
    ------
    RuntimeError
        If it does not hold.
    """
    if not holds:
        msg = f"wrong: {what}"
        raise RuntimeError(msg)

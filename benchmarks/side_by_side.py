"""Programs measured in turn (A B A B …) on one workload: medians with their range, and where they were measured.

Machines are shared and noisy, so a figure that counts is a ratio between two programs of one run. A program is a
command that prints one JSON object with ``seconds``, ``cpu_us_per_payment``, ``payments_per_second`` and whatever else
it found.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numba", "numpy", "orjson", "msgspec", "pydantic", "river", "apsw")
#: What is a measurement in what a program prints; all the rest must be the same in every round.
MEASURED = ("seconds", "cpu_us_per_payment", "payments_per_second")
ALSO_MEASURED = ("cpu_us", "wall_us", "database_bytes")

Found = dict[str, Any]


def measure(programs: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Found]:
    """Run each program `rounds` times, in turn.

    Parameters
    ----------
    programs
        Arguments for this Python by the program's name.
    rounds
        How often each is run.

    Returns
    -------
    dict
        By name: median and range of what was measured, and the rest as the last run said it.

    Raises
    ------
    RuntimeError
        A program failed, or its rounds differ in what is no measurement of time: a fast wrong answer is a failed run.
    """
    found: dict[str, list[Found]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, arguments in programs.items():
            found[name].append(_once(name, arguments))
    return {name: _summary(name, runs) for name, runs in found.items()}


def _once(name: str, arguments: Sequence[str]) -> Found:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{name} ended with {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(msg)
    answer: Found = json.loads(done.stdout)
    return answer


def _summary(name: str, runs: Sequence[Found]) -> Found:
    measured = {*MEASURED, *ALSO_MEASURED}
    steady = [{key: value for key, value in run.items() if key not in measured} for run in runs]
    if any(other != steady[0] for other in steady):
        msg = f"{name} answered differently from round to round: {steady}"
        raise RuntimeError(msg)
    summary: Found = dict(steady[0])
    for key in (*MEASURED, *(key for key in ALSO_MEASURED if key in runs[0])):
        summary[key] = _spread([run[key] for run in runs])
    return summary


def _spread(values: Sequence[Any]) -> Found:
    """Return median and range of numbers, or of each entry of dicts of numbers."""
    if isinstance(values[0], dict):
        return {name: _spread([value[name] for value in values]) for name in values[0]}
    return {"median": statistics.median(values), "range": [min(values), max(values)]}


def ratio(found: Mapping[str, Found], fast: str, slow: str) -> Found:
    """Return how many times faster `fast` is than `slow`, by wall time and by CPU time (medians)."""
    wall = found[fast]["payments_per_second"]["median"] / found[slow]["payments_per_second"]["median"]
    cpu = found[slow]["cpu_us_per_payment"]["median"] / found[fast]["cpu_us_per_payment"]["median"]
    return {"of": f"{fast} to {slow}", "by_wall_time": round(wall, 2), "by_cpu_time": round(cpu, 2)}


def machine() -> Found:
    """Return what the figures were measured on: processor, system, versions, commit."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": head.stdout.strip() + ("+" if changed.stdout.strip() else ""),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def save(name: str, result: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write a result into ``benchmarks/results/NAME.json``, with the machine it was measured on."""
    place = RESULTS if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}.json"
    path.write_text(json.dumps({**machine(), **result}, indent=2) + "\n", encoding="utf-8")
    return path

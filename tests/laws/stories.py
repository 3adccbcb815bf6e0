"""Streams, cut into turns, and drivers that they are told to."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.scorer.machine import Scorer
from stream_ml.sessions import session as session_module
from stream_ml.testing import Driver
from tests import pipelines_data
from tests.naive import Naive
from tests.scale import examples
from tests.streams import TICK, encode, seeded

TESTS = Path(__file__).parent.parent
#: Pipelines made for the laws, and those of users.
LAW = tuple(path.stem for path in sorted((TESTS / "pipelines_law").glob("*.py")))
USERS = pipelines_data.names()
KINDS = ("predictions", "examples", "dead", "alarms", "metrics")
#: Generated streams for each law and pipeline; a long search: `STREAM_ML_EXAMPLES=500 pytest tests/laws`.
EXAMPLES = int(os.environ.get("STREAM_ML_EXAMPLES", examples(8)))
LAWS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="STREAM_ML_EXAMPLES" not in os.environ,
    database=None,
)

#: (topic, bytes, time stamp of the log)
Sent = tuple[str, bytes, int]


@dataclass(frozen=True)
class Step:
    """What one turn is fed: records, then a tick or none."""

    records: tuple[Sent, ...]
    tick: int | None = None


@functools.cache
def pipeline(name: str) -> Pipeline:
    """Return a pipeline of the laws or of a user."""
    folder = "pipelines_law" if name in LAW else "pipelines"
    return load(TESTS / folder / f"{name}.py")


@functools.cache
def log_of(name: str, seed: int, size: int = 250) -> tuple[Sent, ...]:
    """Return a stream of one of the pipelines; ticks are records of no topic."""
    if name in LAW:
        return sent(seeded(pipeline(name), seed, size))
    rows = pipelines_data.records(name, size, seed)
    return tuple((topic, json.dumps(record, default=str).encode(), received) for topic, received, record in rows)


def sent(log: Sequence[tuple[str, int, dict[str, Any]]]) -> tuple[Sent, ...]:
    """Return a generated stream as bytes."""
    return tuple((topic, b"" if topic == TICK else encode(record), stamp) for topic, stamp, record in log)


def whole(log: Sequence[Sent]) -> list[Step]:
    """Cut a stream at its ticks only."""
    return cut(log, lambda: False)


def singly(log: Sequence[Sent]) -> list[Step]:
    """Cut a stream after every record."""
    return cut(log, lambda: True)


def randomly(log: Sequence[Sent], seed: int, share: float = 0.3) -> list[Step]:
    """Cut a stream at its ticks and, by chance, after records."""
    random = Random(seed)
    return cut(log, lambda: random.random() < share)


def cut(log: Sequence[Sent], here: Any) -> list[Step]:
    """Cut a stream at its ticks and wherever `here()` says so after a record."""
    steps: list[Step] = []
    records: list[Sent] = []
    for topic, value, stamp in log:
        if topic == TICK:
            steps.append(Step(tuple(records), stamp))
            records = []
        else:
            records.append((topic, value, stamp))
            if here():
                steps.append(Step(tuple(records)))
                records = []
    return [*steps, Step(tuple(records))]


def feed(driver: Driver, step: Step) -> None:
    """Carry one step out."""
    driver.send_all(step.records)
    if step.tick is not None:
        driver.tick(step.tick)


def told(which: Pipeline, steps: Sequence[Step]) -> Driver:
    """Return a driver that was told a whole story without stopping."""
    driver = Driver(which)
    for step in steps:
        feed(driver, step)
    return driver


def twin_of(which: Pipeline, log: Sequence[Sent]) -> Naive:
    """Return the naive twin after a stream."""
    naive = Naive(which)
    now, offset = -(1 << 62), 0
    for topic, value, stamp in log:
        now = max(now, stamp)
        if topic == TICK:
            naive.tick(now)
        else:
            naive.feed(topic, now, value, offset)
            offset += 1
    return naive


@contextmanager
def capacity(rows: int) -> Iterator[None]:
    """Let scorers that are made here carry out so many operations at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module, "Scorer", partial(Scorer, capacity=rows))
        yield


def written(driver: Driver) -> dict[str, list[bytes]]:
    """Return all outputs as bytes, by kind."""
    return {kind: driver.written(kind) for kind in KINDS}


def state(driver: Driver, *, turns: bool = True) -> dict[str, Any]:
    """Return the canonical state, with or without the number of turns that it took."""
    found = driver.state()
    if not turns:
        del found["entry"]
    return found


def assert_same_outputs(a: Driver, b: Driver) -> None:
    """Fail at the first output that differs, byte by byte."""
    for kind in KINDS:
        left, right = a.written(kind), b.written(kind)
        for at, (x, y) in enumerate(zip(left, right, strict=False)):
            assert x == y, f"{kind} {at}"
        assert len(left) == len(right), kind


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """List where two states differ; equal floats of unlike sign or type differ too."""
    if isinstance(a, dict) and isinstance(b, dict):
        names = sorted({*a, *b}, key=str)
        return [one for name in names for one in differences(a.get(name), b.get(name), f"{path}.{name}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [one for i, (x, y) in pairs for one in differences(x, y, f"{path}[{i}]")]
    return [] if repr(a) == repr(b) else [f"{path}: {a!r} != {b!r}"[:300]]

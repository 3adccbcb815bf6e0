"""The generated streams: they are functions of the seed, shrink, and hold everything that they promise."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from tests.naive import Naive
from tests.scale import QUICK, examples, slow
from tests.streams import TICK, Logged, encode, merged, seeded, streams

LAW = sorted((Path(__file__).parent / "pipelines_law").glob("*.py"))
TRIED = [path if path.stem in QUICK else slow(path)[0] for path in LAW]
NAMES = [path.stem for path in LAW]


SEEDS = (0, 1, 2)


def played(pipeline: Pipeline, log: list[Logged]) -> Naive:
    naive = Naive(pipeline)
    for topic, received, value, offset in merged(log):
        if topic == TICK:
            naive.tick(received)
        else:
            naive.feed(topic, received, encode(value), offset)
    return naive


@functools.cache
def story(path: Path, seed: int) -> Naive:
    """Return the twin after a stream; tests only read it."""
    pipeline = load(path)
    return played(pipeline, seeded(pipeline, seed, 220))


@pytest.mark.parametrize("path", TRIED, ids=NAMES)
def test_every_event_is_accounted_for(path: Path) -> None:
    naive = story(path, 0)
    counters = naive.counters
    dead = sum(letter.role == "event" for letter in naive.dead)
    assert counters["events"] == counters["predicted"] + counters["not_asked"] + counters["duplicate"] + dead
    assert counters["events"] > 20
    closed = counters["joined"] + counters["silence"] + counters["dropped"]
    if naive.label is not None:
        still = sum(event.open for event in naive.join.taken.values())
        assert closed + still == counters["predicted"] + counters["not_asked"]


@pytest.mark.parametrize("path", TRIED, ids=NAMES)
def test_the_same_seed_gives_the_same_stream(path: Path) -> None:
    pipeline = load(path)
    assert repr(seeded(pipeline, 3, 50)) == repr(seeded(pipeline, 3, 50))
    assert repr(seeded(pipeline, 3, 50)) != repr(seeded(pipeline, 4, 50))


@pytest.mark.parametrize("path", TRIED, ids=NAMES)
def test_every_feature_takes_several_values(path: Path) -> None:
    """A law that compares constants proves nothing."""
    found: dict[str, set[str]] = {}
    for seed in SEEDS:
        naive = story(path, seed)
        for row in naive.predictions:
            for name in naive.served:
                found.setdefault(name, set()).add(repr(row.features.get(name)))
    assert {name: values for name, values in found.items() if len(values) < 2} == {}


@pytest.mark.slow
def test_everything_that_can_happen_happens() -> None:
    happened: Counter[str] = Counter()
    for path in LAW:
        for seed in SEEDS:
            naive = story(path, seed)
            happened.update(naive.counters)
            at = [row.at for row in naive.predictions]
            happened["out of order"] += sum(b < a for a, b in itertools.pairwise(at))
            happened["equal times"] += sum(b == a for a, b in itertools.pairwise(at))
            happened["learned later"] += sum(e.after > e.row + 1 for e in naive.examples)
    wanted = {
        *("duplicate", "late", "not_asked", "joined", "silence", "dropped", "again", "held", "idle", "no_target"),
        *("other", "other_late", "other_duplicate", "table", "out of order", "equal times", "learned later"),
        *("dead_ahead", "dead_missing", "dead_null_key", "dead_number", "dead_type", "dead_unmatched"),
    }
    assert {name for name in wanted if happened[name] < 3} == set()


@given(st.data())
@settings(max_examples=examples(10), deadline=None, suppress_health_check=list(HealthCheck))
def test_hypothesis_can_make_them(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(LAW))
    pipeline = load(path)
    log = data.draw(streams(pipeline, 20))
    assert 1 <= len(log) <= 60
    naive = played(pipeline, log)
    assert len(naive.predictions) <= len(log)

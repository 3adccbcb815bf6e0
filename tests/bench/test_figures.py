"""Figures: matched by event, from the intended moment, the warm-up left out; freshness by the model's count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_ml.bench.figures import Sent, percentiles, step
from stream_ml.bench.generator import EVENT, LABEL
from stream_ml.bench.load import Load
from stream_ml.bench.seen import Seen, learned_at
from stream_ml.bench.throughput import Drained, rates

LOAD = Load(pipeline="", name="", url="", events=10, rate=10.0)
IDS: dict[Any, int] = {f"e{n}": n for n in range(10)}


def sent(labels: dict[int, float] | None = None, late_s: float = 0.0) -> Sent:
    told = labels or {}
    intended = np.array([n / 10 for n in range(10)] + list(told.values()))
    kind = np.array([EVENT] * 10 + [LABEL] * len(told))
    event = np.array([*range(10), *told])
    places = np.zeros(len(event), np.int64)
    return Sent(kind, event, intended, intended + late_s, intended + late_s + 0.001, places, places, places + 100)


def test_latency_counts_from_the_intended_moment_and_leaves_the_warm_up_out() -> None:
    at = [n / 10 + (0.5 if n < 4 else 0.010) for n in range(10)]
    found = step(LOAD, sent(), Seen([f"e{n}" for n in range(10)], at, [0] * 10, [0] * 10), IDS, {}, 0.4)
    assert found["latency_ms"]["n"] == 6
    assert found["latency_ms"]["max"] == pytest.approx(10, rel=1e-2)
    assert (found["events"], found["answered"], found["answers"], found["bytes"]) == (10, 10, 10, 1_000)
    assert found["update_visible_ms"] == {"n": 0, "never_seen": 0}
    assert not found["void"]


def test_a_late_generator_makes_the_run_void() -> None:
    seen = Seen(["e9"], [1.0], [0], [0])
    assert step(LOAD, sent(late_s=0.002), seen, IDS, {}, 0.0)["void"]
    found = step(LOAD, sent(late_s=0.0005), seen, IDS, {}, 0.0)
    assert not found["void"]
    assert found["answered"] == 1


def test_a_label_is_visible_with_the_first_prediction_that_has_its_count() -> None:
    counts = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    at = [n / 10 + 0.01 for n in range(10)]
    seen = Seen([f"e{n}" for n in range(10)], at, counts, [0] * 10)
    labels = {1: 0.35, 2: 0.38, 3: 0.85, 4: 0.95}
    found = step(LOAD, sent(labels), seen, IDS, {"e1": 1, "e2": 2, "e3": 4, "e4": 5}, 0.0)
    visible = found["update_visible_ms"]
    assert (visible["n"], visible["never_seen"]) == (2, 1)
    assert visible["p50"] == pytest.approx(60, rel=1e-2)
    assert visible["max"] == pytest.approx(230, rel=1e-2)


def test_examples_of_silence_and_without_a_weight_are_no_labels() -> None:
    examples: list[Any] = [("a", 0, 0, False, True), ("b", 0, 1, True, False), ("c", 0, 2, True, True)]
    assert learned_at(Seen(examples=examples), shared=False) == {"c": 2}


def test_a_turn_of_the_learner_is_learned_at_its_end() -> None:
    examples: list[Any] = [("a", 0, 0, True, True), ("b", 1, 0, True, True), ("c", 0, 3, True, True)]
    entries: list[Any] = [[("x.examples/0", 0, 2)], [("x.examples/0", 2, 4), ("x.examples/1", 0, 1)]]
    assert learned_at(Seen(examples=examples, entries=entries), shared=True) == {"a": 1, "b": 3, "c": 3}


def test_percentiles_have_three_digits() -> None:
    found = percentiles(np.linspace(0.001, 1.0, 1_000))
    assert found["p50"] == pytest.approx(500, rel=2e-3)
    assert found["p99"] == pytest.approx(990, rel=2e-3)
    assert found["max"] == pytest.approx(1_000, rel=2e-3)


def test_throughput_counts_from_the_first_commit_to_the_last() -> None:
    seen = Seen(ids=list(range(6)), stamps=[1_000, 1_000, 1_500, 1_500, 2_000, 2_000])
    found = rates(seen, 6, Drained(2.0, 0.6, 1.0, 3))
    assert found["events_per_second"] == 4
    late = Seen(ids=seen.ids, stamps=[*seen.stamps, *[5_000] * 6])  # examples, whose labels came after the last event
    assert rates(late, 6, Drained(5.0, 0.6, 1.0, 4))["events_per_second"] == round(6 * 10 / 12 / 4)
    assert found["cpu_us_per_event"] == pytest.approx(1e5)
    assert rates(Seen(ids=[1], stamps=[5]), 1, Drained(1.0, 0.1, 0.0, 1))["events_per_second"] is None

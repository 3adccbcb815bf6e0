"""The learner is given what was served, and nothing that arrived later (law 5); the model's answers are river's."""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import pytest

from tests.laws.against_twin import Against, bits, same
from tests.laws.stories import LAW, USERS, log_of, pipeline, randomly, told, twin_of, whole
from tests.naive import Example, Row

#: Users' pipelines whose models have a kernel.
COMPILED = ("bikes", "cards", "clicks", "credit", "elec", "eta", "flights", "fraud", "recommend")


@pytest.mark.parametrize("name", [*LAW, *USERS])
def test_an_example_holds_what_was_served(name: str) -> None:
    driver = told(pipeline(name), randomly(log_of(name, 31, 200), 31))
    served: dict[Any, list[dict[str, Any]]] = {}
    for one in driver.all_predictions:
        served.setdefault((str(one["id"]), one["at"]), []).append(one)
    examples = driver.all_examples
    if pipeline(name).model is not None and pipeline(name).label is not None:
        assert len(examples) > 5
    for example in examples:
        features = {name: value for name, value in example["features"].items() if value is not None}
        assert example["known"] >= example["received"]
        # an id may be used again once its horizon has passed, by an event of the same time
        assert any(
            same(prediction["features"], features) == []
            and prediction["version"] == example["version"]
            and bits(prediction.get("prediction")) == bits(example["prediction"])
            and ("score" not in prediction or bits(prediction["score"]) == bits(example["score"]))
            for prediction in served[str(example["id"]), example["at"]]
        )


@pytest.mark.parametrize("name", [*LAW, "cards", "fraud", "flights"])
def test_no_answer_uses_what_arrived_later(name: str) -> None:
    """A story that stops anywhere has given the answers that the longer one gave until then."""
    log = log_of(name, 32, 150)
    full = told(pipeline(name), whole(log))
    for share in (0.3, 0.6, 0.9):
        part = told(pipeline(name), whole(log[: int(share * len(log))]))
        for kind in ("predictions", "examples", "dead"):
            written = part.written(kind)
            assert written == full.written(kind)[: len(written)]


@pytest.mark.parametrize("name", ["silent", "fraud", "flights"])
def test_labels_a_day_later_change_label_fed_features(name: str) -> None:
    """And an event that arrives before any label is known sees none."""
    log = log_of(name, 33, 200)
    label = Against(told(pipeline(name), []), twin_of(pipeline(name), [])).naive.label_spec.topic
    day = 86_400_000
    moved = [(topic, value, stamp + day if topic == label else stamp) for topic, value, stamp in log]
    later = sorted(moved, key=lambda one: one[2])
    a, b = told(pipeline(name), whole(log)), told(pipeline(name), whole(later))
    events = {one["id"]: one["features"] for one in b.all_predictions}
    changed = [one["id"] for one in a.all_predictions if one["id"] in events and one["features"] != events[one["id"]]]
    assert changed


def operations(against: Against) -> Iterator[tuple[str, Row, Example | None]]:
    """Yield predictions and lessons in the order in which they happen."""
    examples = list(against.naive.examples)
    for i, row in enumerate(against.naive.predictions):
        while examples and examples[0].after <= i:
            yield "learn", against.naive.predictions[examples[0].row], examples.pop(0)
        if row.asked:
            yield "predict", row, None


def answer(model: Any, task: str, features: dict[str, Any]) -> float:
    if task == "binary":
        return float(model.predict_proba_one(features).get(True, math.nan))
    return float(model.predict_one(features))


@pytest.mark.parametrize("name", [*COMPILED, "bids", "silent", "delayed", "returns", "follow", "demand"])
def test_compiled_models_answer_as_river_by_hand(name: str) -> None:
    """Hand river the features as served, in the order in which the engine predicts and learns."""
    log = log_of(name, 34, 300)
    driver = told(pipeline(name), whole(log))
    assert driver.session.learner.model is not None
    assert all(part.compiled for part in driver.session.learner.model.parts)
    against = Against(driver, twin_of(pipeline(name), log))
    model, task = copy.deepcopy(pipeline(name).model), pipeline(name).task
    found = iter(driver.all_predictions)
    most = 0.0
    for what, row, example in operations(against):
        if what == "learn":
            assert example is not None
            if example.learned:
                weight = {} if example.weight == 1.0 else {"w": example.weight}
                model.learn_one(row.features, example.target, **weight)
            continue
        wanted = answer(model, task, row.features)
        prediction = next(found)
        mine = prediction["score"] if task == "binary" else prediction["prediction"]
        assert prediction["prediction_id"] == row.place
        most = max(most, abs(mine - wanted) / max(1.0, abs(wanted)))
    assert next(found, None) is None
    assert most <= 1e-12


@pytest.mark.parametrize("name", ["answered", "sms"])
def test_models_that_river_runs_answer_as_river_by_hand(name: str) -> None:
    log = log_of(name, 35, 200)
    driver = told(pipeline(name), whole(log))
    against = Against(driver, twin_of(pipeline(name), log))
    model, task = copy.deepcopy(pipeline(name).model), pipeline(name).task
    found = {one["prediction_id"]: one for one in driver.all_predictions}
    compared = 0
    for what, row, example in operations(against):
        if what == "learn":
            assert example is not None
            if example.learned:
                weight = {} if example.weight == 1.0 else {"w": example.weight}
                model.learn_one(row.features, example.target, **weight)
        elif row.place in found:
            prediction = found[row.place]
            if task == "multiclass":
                chances = model.predict_proba_one(row.features)
                assert prediction["probabilities"] == {str(name): chance for name, chance in chances.items()}
            else:
                assert bits(prediction["score"]) == bits(answer(model, task, row.features))
            compared += 1
    assert compared == len(found) > 20


def test_the_version_counts_what_was_learned_before() -> None:
    driver = told(pipeline("silent"), whole(log_of("silent", 36)))
    counts = [one["version"][1] for one in driver.all_predictions]
    assert counts == sorted(counts)
    learned = [one["known"] for one in driver.all_examples if one["weight"] is not None]
    assert driver.stats["version"][1] == len(learned)
    assert counts[-1] <= len(learned)
    assert bisect_right(counts, 0) < len(counts)

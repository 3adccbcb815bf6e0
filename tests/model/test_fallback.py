"""river behind the engine's interface: every task, plain Python values, errors reported, texts as texts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river import (
    anomaly,
    base,
    compose,
    datasets,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    preprocessing,
    tree,
)

from stream_ml.model.build import build
from stream_ml.model.spec import Input, Tape
from tests.model.estimators import INPUTS, stream
from tests.model.tapes import Op, Symbols, tape

SEEN: list[dict[str, Any]] = []


def keep(x: dict[str, Any]) -> dict[str, Any]:
    """Note what river was given (and change it, as a careless function may)."""
    SEEN.append(dict(x))
    x.clear()
    return {"one": 1.0}


def test_river_is_given_plain_python_values_and_nothing_for_what_is_missing() -> None:
    SEEN.clear()
    symbols = Symbols()
    model = build(compose.FuncTransformer(keep) | naive_bayes.GaussianNB(), INPUTS, "binary", symbols)
    x = {"amount": 2.0, "ratio": 1.5, "count": 3, "night": True, "country": "日本", "bin": "-2"}
    model.run(tape([Op(x), Op({"country": ""}, True), Op({})], INPUTS, symbols))
    assert SEEN == [x, {"country": ""}, {}]
    assert [type(value) for value in SEEN[0].values()] == [float, float, int, bool, str, str]


def test_each_operation_gets_its_own_dict() -> None:
    SEEN.clear()
    symbols = Symbols()
    model = build(compose.FuncTransformer(keep) | naive_bayes.GaussianNB(), (Input("v", "float"),), "binary", symbols)
    both = Tape(
        np.array([0, 0], dtype=np.uint8), np.zeros(2, dtype=np.int64), np.ones((1, 1)), np.full(2, np.nan), np.ones(2)
    )
    model.run(both)
    assert SEEN == [{"v": 1.0}, {"v": 1.0}]


@pytest.mark.parametrize(
    "estimator",
    [
        tree.HoeffdingTreeClassifier(grace_period=30),
        preprocessing.StandardScaler() | neighbors.KNNClassifier(n_neighbors=5),
        forest.ARFClassifier(n_models=3, seed=7),
        ensemble.ADWINBaggingClassifier(linear_model.LogisticRegression(), n_models=3, seed=1),
    ],
    ids=lambda estimator: str(estimator)[:12],
)
def test_binary_equals_river_by_hand(estimator: Any) -> None:
    data = [(x, y) for x, y in datasets.Phishing().take(300)]
    inputs = tuple(Input(name, "float" if isinstance(value, float) else "int") for name, value in data[0][0].items())
    ops = [op for x, y in data for op in (Op(x), Op(x, y))]
    symbols = Symbols()
    answers = build(estimator, inputs, "binary", symbols).run(tape(ops, inputs, symbols))
    river = estimator.clone()
    expected = []
    for x, y in data:
        chances = river.predict_proba_one(x)
        expected.append(chances.get(True, 0.0) if chances else math.nan)
        river.learn_one(x, y)
    assert np.array_equal(answers.score[::2], np.array(expected), equal_nan=True)
    assert answers.errors == []
    assert answers.label is None


def test_multiclass_answers_labels_and_probabilities_in_texts() -> None:
    data = list(datasets.ImageSegments().take(400))
    inputs = tuple(
        Input(str(name), "float" if isinstance(value, float) else "int") for name, value in data[0][0].items()
    )
    estimator = preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
    symbols = Symbols(first=3)
    ops = [op for x, y in data for op in (Op(x), Op(x, y))]
    answers = build(estimator, inputs, "multiclass", symbols).run(tape(ops, inputs, symbols, target="text"))
    river = estimator.clone()
    assert answers.label is not None
    assert answers.probabilities is not None
    for i, (x, y) in enumerate(data):
        expected = river.predict_proba_one(x)
        assert answers.probabilities[2 * i] == expected
        assert answers.label[2 * i] == (max(expected, key=expected.__getitem__) if expected else None)
        assert answers.label[2 * i + 1] is None
        if expected:
            assert answers.score[2 * i] == max(expected.values())
        river.learn_one(x, y)


def test_multiclass_over_whole_numbers() -> None:
    inputs = (Input("v", "float"),)
    symbols = Symbols()
    ops = [Op({"v": i % 3 + 0.01 * (i % 7)}, i % 3) for i in range(60)] + [Op({"v": 2.0}), Op({"v": 0.0})]
    answers = build(naive_bayes.GaussianNB(), inputs, "multiclass", symbols, target="int").run(
        tape(ops, inputs, symbols)
    )
    assert answers.label is not None
    assert answers.label[-2:] == [2, 0]
    assert {type(label) for label in answers.label[-2:]} == {int}


def test_regression_by_river() -> None:
    data = list(datasets.TrumpApproval().take(200))
    inputs = tuple(Input(name, "float" if isinstance(value, float) else "int") for name, value in data[0][0].items())
    symbols = Symbols()
    ops = [op for x, y in data for op in (Op(x), Op(x, y))]
    estimator = tree.HoeffdingTreeRegressor(grace_period=30)
    answers = build(estimator, inputs, "regression", symbols).run(tape(ops, inputs, symbols))
    expected = []
    for x, y in data:
        expected.append(estimator.predict_one(x))
        estimator.learn_one(x, y)
    assert answers.score[::2].tolist() == expected


def test_a_detector_scores_and_learns_features_alone() -> None:
    inputs = (Input("v", "float"),)
    symbols = Symbols()
    estimator = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=5, height=3, window_size=20, seed=3)
    rng = np.random.default_rng(1)
    data = [{"v": float(v)} for v in rng.normal(size=200)] + [{"v": 40.0}]
    ops = [op for x in data for op in (Op(x, True), Op(x))]
    answers = build(estimator, inputs, "anomaly", symbols).run(tape(ops, inputs, symbols))
    expected = []
    for x in data:
        estimator.learn_one(x)
        expected.append(estimator.score_one(x))
    assert answers.score[1::2].tolist() == expected


def test_words_of_a_text() -> None:
    inputs = (Input("text", "text"),)
    symbols = Symbols()
    estimator = feature_extraction.BagOfWords(on="text") | naive_bayes.MultinomialNB()
    ops = [Op({"text": "win cash now"}, True), Op({"text": "see you at noon"}, False)] * 5
    ops += [Op({"text": "cash now"}), Op({"text": "see you"}), Op({})]
    answers = build(estimator, inputs, "binary", symbols).run(tape(ops, inputs, symbols))
    assert answers.score[-3] > 0.8
    assert answers.score[-2] < 0.2
    assert math.isnan(answers.score[-1])
    assert answers.errors == [(12, "KeyError: 'text'")]


def test_what_a_model_raises_is_reported_and_the_rest_goes_on() -> None:
    """A text reaches the scaler: river raises at each record that has it, and at no other."""
    inputs = (Input("v", "float"), Input("country", "text"))
    symbols = Symbols()
    model = build(preprocessing.StandardScaler() | linear_model.LogisticRegression(), inputs, "binary", symbols)
    assert [part.compiled for part in model.parts] == [False, False]
    assert model.parts[0].why == "it scales 'country', which is a text"
    ops = [Op({"v": 1.0}, True), Op({"v": 2.0}, False), Op({"v": 1.0, "country": "FR"}, True), Op({"v": 1.0})]
    answers = model.run(tape(ops, inputs, symbols))
    assert [i for i, _ in answers.errors] == [2]
    assert answers.errors[0][1].startswith("TypeError: ")
    assert np.isnan(answers.score).tolist() == [True, True, True, False]


def test_weights_reach_a_model_that_takes_them_and_raise_elsewhere() -> None:
    inputs = (Input("v", "float"),)
    symbols = Symbols()
    ops = [Op({"v": 1.0}, True, 3.0), Op({"v": 1.0}, False, 1.0), Op({"v": 1.0})]
    takes = build(tree.HoeffdingTreeClassifier(leaf_prediction="mc"), inputs, "binary", symbols)
    assert takes.run(tape(ops, inputs, symbols)).score[-1] == 0.75
    refuses = build(naive_bayes.GaussianNB(), inputs, "binary", symbols)
    answers = refuses.run(tape(ops, inputs, symbols))
    assert answers.errors == [(0, "TypeError: GaussianNB learns without weights")]


class Above(base.Classifier):
    """Says whether v is above the greatest v that was false; it knows no probabilities."""

    def __init__(self) -> None:
        self.bound: float | None = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        if not y:
            self.bound = max(x["v"], x["v"] if self.bound is None else self.bound)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> bool | None:
        return None if self.bound is None else x["v"] > self.bound


def test_a_classifier_without_probabilities_says_0_or_1_and_nothing_before_it_learned() -> None:
    inputs = (Input("v", "float"),)
    symbols = Symbols()
    ops = [Op({"v": 1.0}), Op({"v": 1.0}, False), Op({"v": 2.0}), Op({"v": 0.5})]
    answers = build(Above(), inputs, "binary", symbols).run(tape(ops, inputs, symbols))
    assert answers.errors == []
    assert math.isnan(answers.score[0])
    assert answers.score[2:].tolist() == [1.0, 0.0]


PROGRAM = """
import numpy as np
from river import compose, linear_model
from stream_ml.model.build import build
from stream_ml.model.spec import Input
from tests.model.tapes import Op, Symbols, tape
inputs = tuple(Input(name, "float") for name in "abcdefgh")
rng = np.random.default_rng(1)
ops = []
for _ in range(200):
    x = {one.name: float(rng.normal()) for one in inputs}
    ops += [Op(x), Op(x, bool(rng.random() < 0.5))]
symbols = Symbols()
model = compose.Select(*"abcdefgh") | linear_model.PAClassifier()
assert not build(model, inputs, "binary", symbols).parts[0].compiled
print(build(model, inputs, "binary", symbols).run(tape(ops, inputs, symbols)).score.tobytes().hex())
"""


@pytest.mark.slow
def test_select_does_not_depend_on_the_hash_seed() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    ("estimator", "name", "why"),
    [
        (linear_model.LogisticRegression(l1=0.1), "LogisticRegression", "l1 runs in river"),
        (
            preprocessing.StandardScaler(window_size=9) | linear_model.LogisticRegression(),
            "StandardScaler",
            "window_size",
        ),
        (preprocessing.Normalizer() | linear_model.LogisticRegression(), "Normalizer", "Normalizer runs in river"),
        (
            preprocessing.StandardScaler() | linear_model.ALMAClassifier(),
            "ALMAClassifier",
            "ALMAClassifier runs in river",
        ),
        (linear_model.LinearRegression(), "LinearRegression", "for a binary task"),
    ],
    ids=["l1", "window", "normalizer", "alma", "task"],
)
def test_parts_say_which_step_is_not_compiled_and_why(estimator: Any, name: str, why: str) -> None:
    parts = build(estimator, (Input("v", "float"),), "binary", Symbols()).parts
    assert not any(part.compiled for part in parts)
    assert [why in part.why for part in parts if part.name == name] == [True]
    assert all(f"{name} is not" in part.why for part in parts if part.name != name)


def test_unequal_streams_do_not_meet() -> None:
    """Two models of one estimator are two models."""
    symbols = Symbols()
    estimator = preprocessing.StandardScaler() | naive_bayes.GaussianNB()
    inputs = (Input("amount", "float"), Input("ratio", "float"))
    ops = [Op({k: v for k, v in op.x.items() if k in {"amount", "ratio"}}, op.y) for op in stream(2, 100)]
    one, other = (build(estimator, inputs, "binary", symbols) for _ in range(2))
    first = one.run(tape(ops, inputs, symbols))
    second = other.run(tape(ops, inputs, symbols))
    assert np.array_equal(first.score, second.score, equal_nan=True)

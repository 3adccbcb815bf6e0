"""The kernels against river itself: whole streams, every transformer, optimizer and rate."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from river import compose, datasets, linear_model, optim, preprocessing

from stream_ml.model.build import build
from stream_ml.model.fallback import OrderedSelect
from stream_ml.model.graph import objects
from stream_ml.model.spec import Input
from tests.model.estimators import INPUTS, WIDE, classifiers, mixed, regressors, stream, wide, wide_stream
from tests.model.tapes import Op, Symbols, by_hand, difference, pairs, tape
from tests.scale import slow

CLASSIFIERS = classifiers()
REGRESSORS = regressors()
BOUND = 1e-12


def compare(estimator: Any, ops: list[Op], inputs: tuple[Input, ...], task: str) -> None:
    symbols = Symbols()
    model = build(estimator, inputs, task, symbols)
    assert all(part.compiled for part in model.parts), model.parts
    answers = model.run(tape(ops, inputs, symbols))
    scores, raised, _ = by_hand(estimator, ops, task)
    asked = np.array([op.y is None for op in ops])
    assert np.isnan(answers.score[~asked]).all()
    assert difference(answers.score[asked], scores[asked]) <= BOUND
    assert [i for i, _ in answers.errors] == raised


@pytest.mark.parametrize("weighted", [*slow(False), True], ids=["", "weighted"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_gives_rivers_probabilities(name: str, weighted: bool) -> None:
    compare(CLASSIFIERS[name], stream(11, 600, weighted=weighted), INPUTS, "binary")


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_gives_rivers_values(name: str) -> None:
    compare(REGRESSORS[name], stream(5, 600, truth="regression"), INPUTS, "regression")


@pytest.mark.parametrize("name", wide())
def test_wide_rows_give_rivers_probabilities(name: str) -> None:
    compare(wide()[name], wide_stream(2, 300), WIDE, "binary")


def kinds(x: dict[str, Any]) -> tuple[Input, ...]:
    named = {bool: "bool", int: "int", float: "float", str: "text"}
    return tuple(Input(str(name), named[type(value)]) for name, value in x.items())


def rows(dataset: Any, n: int | None = None) -> list[tuple[dict[str, Any], Any]]:
    return [({str(k): v for k, v in x.items()}, y) for x, y in itertools.islice(dataset, n)]


@pytest.mark.parametrize("lag", [0, 37])
def test_phishing(lag: int) -> None:
    data = rows(datasets.Phishing())
    compare(
        preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        pairs(data, lag),
        kinds(data[0][0]),
        "binary",
    )


@pytest.mark.parametrize(
    "optimizer", [optim.SGD(0.1), optim.AdaGrad(), optim.Adam(0.01)], ids=["sgd", "adagrad", "adam"]
)
def test_bananas(optimizer: Any) -> None:
    data = rows(datasets.Bananas())
    model = preprocessing.MinMaxScaler() | linear_model.LogisticRegression(optimizer=optimizer, l2=1e-4)
    compare(model, pairs(data, 3), kinds(data[0][0]), "binary")


def test_image_segments_one_class_against_the_rest() -> None:
    data = [(x, y == "sky") for x, y in rows(datasets.ImageSegments())]
    compare(
        preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.Adam(0.01)),
        pairs(data),
        kinds(data[0][0]),
        "binary",
    )


def test_trump_approval() -> None:
    data = [({**x, "ordinal_date": int(x["ordinal_date"])}, y) for x, y in rows(datasets.TrumpApproval())]
    model = preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1)
    compare(model, pairs(data, 2), kinds(data[0][0]), "regression")


@pytest.mark.parametrize("drop", [False, True])
def test_chick_weights_with_encoded_numbers(drop: bool) -> None:
    data = rows(datasets.ChickWeights())
    model = (
        (compose.Select("chick", "diet") | preprocessing.OneHotEncoder(drop_zeros=drop))
        + (compose.Select("time") | preprocessing.StandardScaler())
    ) | linear_model.LinearRegression(optim.SGD(0.01), intercept_lr=0.05)
    compare(model, pairs(data), kinds(data[0][0]), "regression")


def test_a_select_over_a_missing_feature_is_reported_and_learns_as_far_as_river() -> None:
    model = (
        (compose.Select("amount") | preprocessing.StandardScaler())
        + (compose.Select("ratio") | preprocessing.MinMaxScaler())
    ) | linear_model.LogisticRegression()
    ops = stream(3, 400)
    compare(model, ops, INPUTS, "binary")
    symbols = Symbols()
    answers = build(model, INPUTS, "binary", symbols).run(tape(ops, INPUTS, symbols))
    absent = [i for i, op in enumerate(ops) if not {"amount", "ratio"} <= set(op.x)]
    assert [i for i, _ in answers.errors] == absent
    assert len(absent) > 50
    assert {said for _, said in answers.errors} == {"KeyError: 'amount'", "KeyError: 'ratio'"}


def test_far_logits_and_a_target_that_never_changes() -> None:
    """Past +-30 the sigmoid is 0 or 1, past +-18 the gradient has another form."""
    ops = [op for i in range(800) for op in (Op({"v": 40.0 * np.sin(i)}), Op({"v": 40.0 * np.sin(i)}, np.sin(i) > 0))]
    compare(linear_model.LogisticRegression(optim.SGD(1.0)), ops, (Input("v", "float"),), "binary")


def test_a_feature_that_appears_late_is_unknown_until_then() -> None:
    ops = [Op({"v": 1.0}, True), Op({"u": 3.0}), Op({"v": 2.0, "u": 3.0}, False), Op({"u": 3.0}), Op({})]
    inputs = (Input("v", "float"), Input("u", "float"))
    compare(preprocessing.StandardScaler() | linear_model.LogisticRegression(), ops, inputs, "binary")
    compare(preprocessing.MinMaxScaler() | linear_model.LogisticRegression(), ops, inputs, "binary")


@pytest.mark.parametrize(
    "name", ["sgd-zeros-l2=0.01", "adagrad-dropped-l2=0.0", "adam-zeros-l2=0.0", "min-max", "two-encoders"]
)
def test_a_trained_estimator_is_taken_over(name: str) -> None:
    before, after = stream(21, 400), stream(22, 400)
    if name in {"min-max", "two-encoders"}:
        before = [op for op in before if {"amount", "count", "country", "bin"} <= set(op.x)]
        after = [op for op in after if {"amount", "count", "country", "bin"} <= set(op.x)]
    _, _, trained = by_hand(CLASSIFIERS[name], before, "binary")
    trained = _unordered(trained)
    weights = dict(list(trained.steps.values())[-1].weights)
    compare(trained, after, INPUTS, "binary")
    assert dict(list(trained.steps.values())[-1].weights) == weights


def _unordered(model: Any) -> Any:
    """Give back river's own Select, as a user's file would have it."""
    for item in objects(model):
        if type(item) is OrderedSelect:
            object.__setattr__(item, "__class__", compose.Select)
    return model


def test_the_given_estimator_does_not_change() -> None:
    model = mixed(drop_zeros=False) | linear_model.LogisticRegression()
    compare(model, stream(1, 200), INPUTS, "binary")
    assert list(model.steps.values())[-1].weights == {}

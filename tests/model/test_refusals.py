"""What `check` says about an estimator: each with a cure, and nothing about one that runs."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from river import (
    anomaly,
    bandit,
    cluster,
    compose,
    dummy,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    multiclass,
    multioutput,
    naive_bayes,
    preprocessing,
    reco,
    stats,
    time_series,
    tree,
)

from stream_ml.model.refusals import Finding, findings
from stream_ml.model.spec import Input
from tests.model.estimators import INPUTS, mixed

TEXT = (Input("text", "text"), Input("amount", "float"))


def named(x: dict[str, Any]) -> dict[str, Any]:
    return x


@pytest.mark.parametrize(
    ("estimator", "task", "weighted"),
    [
        (mixed(drop_zeros=True) | linear_model.LogisticRegression(), "binary", True),
        (preprocessing.StandardScaler() | linear_model.LinearRegression(), "regression", True),
        (forest.ARFClassifier(seed=1), "binary", True),
        (tree.HoeffdingTreeClassifier(), "multiclass", True),
        (multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), "multiclass", False),
        (anomaly.HalfSpaceTrees(seed=1), "anomaly", False),
        (anomaly.QuantileFilter(anomaly.OneClassSVM(), q=0.9), "anomaly", False),
        (compose.FuncTransformer(named) | naive_bayes.GaussianNB(), "binary", False),
        (feature_extraction.BagOfWords(on="country") | naive_bayes.MultinomialNB(), "binary", False),
        (dummy.StatisticRegressor(stats.Mean()), "regression", False),
    ],
    ids=str,
)
def test_nothing_is_said_about_what_runs(estimator: Any, task: str, weighted: bool) -> None:
    assert findings(estimator, task, weighted, INPUTS) == []


@pytest.mark.parametrize(
    ("estimator", "task", "weighted", "message", "cure"),
    [
        (
            anomaly.HalfSpaceTrees(),
            "anomaly",
            False,
            "anomaly.HalfSpaceTrees draws random numbers with seed=None: a restart would change its answers",
            "Write anomaly.HalfSpaceTrees(seed=1)",
        ),
        (
            preprocessing.FeatureHasher() | linear_model.LogisticRegression(),
            "binary",
            False,
            "preprocessing.FeatureHasher draws random numbers with seed=None: a restart would change its answers",
            "Write preprocessing.FeatureHasher(seed=1)",
        ),
        (
            ensemble.BaggingClassifier(forest.AMFClassifier(seed=1)),
            "binary",
            False,
            "ensemble.BaggingClassifier draws random numbers with seed=None: a restart would change its answers",
            "Write ensemble.BaggingClassifier(seed=1)",
        ),
        (
            linear_model.SoftmaxRegression(),
            "multiclass",
            True,
            "linear_model.SoftmaxRegression learns without weights, and weight= is declared",
            "Remove weight=, or take a model whose learn_one has w",
        ),
        (
            anomaly.HalfSpaceTrees(seed=2),
            "anomaly",
            True,
            "anomaly.HalfSpaceTrees learns without weights, and weight= is declared",
            "Remove weight=",
        ),
        (
            reco.Baseline(seed=1),
            "regression",
            False,
            "reco.Baseline ranks items for users: the engine asks predict_one of a regressor",
            "Take another model",
        ),
        (
            time_series.SNARIMAX(p=1, d=0, q=1),
            "regression",
            False,
            "time_series.SNARIMAX forecasts: the engine asks predict_one of a regressor",
            "Take another model",
        ),
        (
            cluster.KMeans(seed=1),
            "anomaly",
            False,
            "cluster.KMeans clusters: the engine asks score_one of an anomaly detector",
            "Take another model",
        ),
        (
            preprocessing.StandardScaler(),
            "binary",
            False,
            "the pipeline ends in preprocessing.StandardScaler, which answers nothing",
            "End it with an estimator",
        ),
        (
            linear_model.LinearRegression(),
            "binary",
            False,
            "linear_model.LinearRegression is no classifier, and the task is binary",
            "Take a classifier",
        ),
        (
            linear_model.LogisticRegression(),
            "regression",
            False,
            "linear_model.LogisticRegression is no regressor, and the task is regression",
            "Take a regressor",
        ),
        (
            linear_model.LogisticRegression(),
            "multiclass",
            False,
            "linear_model.LogisticRegression knows two classes only",
            "Write multiclass.OneVsRestClassifier(linear_model.LogisticRegression(...))",
        ),
        (
            linear_model.LogisticRegression(),
            "anomaly",
            False,
            "linear_model.LogisticRegression has no score_one, and the task is anomaly",
            "Take an anomaly detector, or declare a label",
        ),
        (
            anomaly.GaussianScorer(),
            "anomaly",
            False,
            "anomaly.GaussianScorer needs the target to score",
            "Take a detector that scores features alone",
        ),
        (
            multioutput.ClassifierChain(linear_model.LogisticRegression(), order=["a"]),
            "binary",
            False,
            "multioutput.ClassifierChain has many targets, and a pipeline has one label",
            "Take a model for a binary task",
        ),
        (
            compose.FuncTransformer(lambda x: x) | naive_bayes.GaussianNB(),
            "binary",
            False,
            "the model holds <lambda>, which cannot be saved",
            "Write a named function at the top of the file",
        ),
        (
            compose.Select("amuont") | linear_model.LogisticRegression(),
            "binary",
            False,
            "Select names 'amuont', which is no feature",
            "Features are text, amount",
        ),
        (
            compose.Pipeline(
                compose.Pipeline(preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
                linear_model.LogisticRegression(),
            ),
            "binary",
            False,
            "a Pipeline is a step of a Pipeline: river learns from what comes into it, not from what comes out",
            "Write its steps one after the other with |",
        ),
    ],
)
def test_what_is_refused(estimator: Any, task: str, weighted: bool, message: str, cure: str) -> None:
    named_there = [
        Finding(found.message.replace("test_refusals.", ""), found.cure, found.is_warning)
        for found in findings(estimator, task, weighted, TEXT)
    ]
    assert Finding(message, cure) in named_there


def test_a_lambda_of_a_test_has_a_place() -> None:
    """The qualified name of a lambda in a function says where it stands."""
    (found,) = findings(compose.FuncTransformer(lambda x: x) | naive_bayes.GaussianNB(), "binary", False, TEXT)
    assert "test_a_lambda_of_a_test_has_a_place.<locals>.<lambda>" in found.message


def test_what_is_no_estimator() -> None:
    (arm,) = findings(bandit.EpsilonGreedy(epsilon=0.1, seed=1), "binary", False, TEXT)
    assert arm.message == "model= is a EpsilonGreedy, not a river estimator"
    (other,) = findings(functools.partial(named), "binary", False, TEXT)
    assert other.message == "model= is a partial, not a river estimator"


@pytest.mark.parametrize(
    "estimator",
    [
        compose.Select("amount") | linear_model.LogisticRegression(),
        (compose.Select("amount") | preprocessing.StandardScaler()) + compose.Select("text")
        | linear_model.LogisticRegression(),
    ],
    ids=["select", "union"],
)
def test_a_selected_feature_may_not_be_missing(estimator: Any) -> None:
    said = "Select raises KeyError where 'amount' is missing, and it may be"
    assert [found.message for found in findings(estimator, "binary", False, TEXT, missing={"amount"})] == [said]
    assert findings(estimator, "binary", False, TEXT) == []


def test_words_of_a_text_that_may_be_missing() -> None:
    model = feature_extraction.BagOfWords(on="text") | naive_bayes.MultinomialNB()
    (found,) = findings(model, "binary", False, TEXT, missing={"text"})
    assert found.message == "BagOfWords raises KeyError where 'text' is missing, and it may be"
    assert not found.is_warning


def test_warnings() -> None:
    (zeros,) = findings(preprocessing.OneHotEncoder() | linear_model.LogisticRegression(), "binary", False, TEXT)
    assert zeros.is_warning
    assert zeros.cure == "Write OneHotEncoder(drop_zeros=True) where there are many values"
    model = compose.FuncTransformer(named) | compose.Select("made") | naive_bayes.GaussianNB()
    (unknown,) = findings(model, "binary", False, TEXT)
    assert unknown.is_warning

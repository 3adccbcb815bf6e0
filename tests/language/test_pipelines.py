"""The dozen pipelines that the language was tried on: they load, and type checkers accept them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api
from river import linear_model, multiclass, preprocessing

from stream_ml import ADWIN, Features, Label, Learning, Monitor, Pipeline, fn
from stream_ml.language.example import Chargeback, Payment
from stream_ml.language.kinds import kind
from stream_ml.language.loader import load

ROOT = Path(__file__).parent.parent.parent
PIPELINES = sorted((ROOT / "tests" / "pipelines").glob("*.py"))
WHAT = {
    "bids": ("bids", "binary", 9),
    "bikes": ("bikes", "regression", 12),
    "cards": ("cards", "binary", 12),
    "clicks": ("ctr", "binary", 10),
    "credit": ("credit", "binary", 8),
    "elec": ("elec", "binary", 10),
    "eta": ("eta", "regression", 7),
    "flights": ("flights", "binary", 26),
    "fraud": ("fraud", "binary", 16),
    "pump": ("pump", "anomaly", 6),
    "recommend": ("recommend", "regression", 6),
    "sms": ("sms", "binary", 2),
}


def test_all_are_here() -> None:
    assert {path.stem for path in PIPELINES} == set(WHAT)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_loads(path: Path) -> None:
    pipeline = load(path)
    assert (pipeline.name, pipeline.task, len(pipeline.features.served)) == WHAT[path.stem]
    assert all(kind(expr) is not None and expr.tails is None for expr in pipeline.features.served.values())
    assert all(expr.place and expr.place.file == str(path) for expr in pipeline.features.served.values())
    assert (pipeline.label_stream is None) == (path.stem == "pump")


def test_names_of_fraud() -> None:
    served = list(load(ROOT / "tests" / "pipelines" / "fraud.py").features.served)
    assert served == [
        "amount", "night", "abroad", "n_10m", "n_1h", "n_1d", "burst", "spend_1d", "spend_7d", "gap", "ratio_30d",
        "z_30d", "large_1d", "risk_7d", "risk_28d", "frauds_7d",
    ]  # fmt: skip


@pytest.mark.slow
def test_type_checker_accepts_them() -> None:
    out, _, code = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), *map(str, PIPELINES)])
    assert code == 0, out


class One(Features, of=Payment):
    amount = fn.log1p(Payment.amount)


class Reason(Label, of=Payment, topic="reasons", wait="1d"):
    payment: str
    card: str
    reason: str


def test_defaults_and_attributes() -> None:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    pipeline = Pipeline(
        "one", features=One, label=Chargeback.fraud, model=model, carry=(Payment.card,), pending="2MiB",
        monitor=Monitor(every=10, detectors=(ADWIN(),)), learning=Learning(sync="0s"),
    )  # fmt: skip
    assert pipeline.model is not model
    assert (pipeline.pending_bytes, pipeline.learning.sync_ms, pipeline.threshold) == (2 * 2**20, 0, 0.5)
    assert (pipeline.event, pipeline.label_stream, pipeline.store_features) == (Payment, Chargeback, True)
    assert repr(pipeline.carry) == "(Payment.card,)"
    assert (pipeline.weight, pipeline.when, pipeline.slices) == (None, None, ())


def test_what_the_model_has_learned_is_kept() -> None:
    model = linear_model.LogisticRegression()
    model.learn_one({"amount": 1.0}, True)
    pipeline = Pipeline("one", features=One, label=Chargeback.fraud, model=model)
    assert dict(pipeline.model.weights) == dict(model.weights) != {}
    model.learn_one({"amount": 1.0}, True)
    assert dict(pipeline.model.weights) != dict(model.weights)


def test_tasks() -> None:
    many = multiclass.OneVsRestClassifier(linear_model.LogisticRegression())
    assert Pipeline("a", features=One, label=Reason.reason, model=many).task == "multiclass"
    assert Pipeline("a", features=One, label=Reason.reason == "spam", model=many).task == "binary"
    assert Pipeline("a", features=One, model=None).task == "features"
    assert Pipeline("a", features=One, label=Reason.reason, model=None).task == "features"
    amount = Pipeline("a", features=One, label=fn.length(Reason.reason), model=linear_model.LinearRegression())
    assert amount.task == "regression"

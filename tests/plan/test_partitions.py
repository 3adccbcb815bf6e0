"""Which pipelines may run on several partitions, and with a learner apart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from river import linear_model, naive_bayes

from stream_ml import Event, Features, Label, Pipeline, Table, fn
from stream_ml.errors import UsageError
from stream_ml.plan.partitions import one_partition, require_partitions, require_shared
from tests.laws.stories import pipeline


class Shop(Table, topic="shops", key="shop"):
    shop: str
    risk: float


class Visit(Event, topic="visits", key="card", time="at", lateness="1s"):
    card: str
    owner: str
    at: datetime


class Order(Event, topic="orders", id="order", key="owner", time="at", lateness="1s"):
    order: str
    owner: str
    shop: str
    amount: float
    at: datetime


class Returned(Label, of=Order, topic="returns", wait="1d"):
    order: str
    owner: str
    back: bool


def made(given: dict[str, Any], **options: Any) -> Pipeline:
    class OrderFeatures(Features, of=Order):
        locals().update(given)

    return Pipeline("orders", features=OrderFeatures, model=options.pop("model", None), **options)


GOOD = {
    "own key": fn.count(Order).over("1h", by=Order.owner),
    "own key and more": fn.count(Order).over("1h", by=(Order.shop, Order.owner)),
    "a table": fn.lookup(Shop.risk, Order.shop),
    "a row": fn.log1p(Order.amount),
    "another stream by both keys": fn.count(Visit).over("1h", by=Visit.card, at=Order.owner),
    "labels by the key": fn.count(Returned).over("1h", by=Returned.owner),
    "labels by the event's column": fn.mean(Returned.back).over("1h", by=(Order.shop, Order.owner)),
}
APART = {
    "another column": (fn.count(Order).over("1h", by=Order.shop), "kept by Order.shop"),
    "all together": (fn.count(Order).over("1h", by=None), "kept by None"),
    "an expression of the key": (fn.count(Order).over("1h", by=fn.lower(Order.owner)), "kept by fn.lower(Order.owner)"),
    "labels by another column": (fn.mean(Returned.back).over("1h", by=Order.shop), "kept by Order.shop"),
    "another stream that is not keyed by it": (
        fn.count(Visit).over("1h", by=Visit.owner),
        "kept by Visit.owner, and Visit is keyed by card",
    ),
    "another stream read by another column": (
        fn.count(Visit).over("1h", by=Visit.card, at=Order.shop),
        "kept by Visit.card, read by Order.shop",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_any_number_of_partitions_carries(name: str) -> None:
    which = made({"it": GOOD[name]})
    assert one_partition(which) == {}
    require_partitions(which, 8)


@pytest.mark.parametrize("name", APART)
def test_what_needs_one_partition(name: str) -> None:
    expr, why = APART[name]
    which = made({"it": expr})
    (told,) = set(one_partition(which).values())
    assert told == why
    require_partitions(which, 1)
    with pytest.raises(UsageError) as error:
        require_partitions(which, 4)
    said = str(error.value)
    assert "'orders' needs every record in one partition, and there are 4: it" in said
    assert f"({why})" in said
    assert said.endswith("one partition, or keep these by the event's key (owner)")


def test_a_condition_of_asking_counts_too() -> None:
    count = fn.count(Order).over("1h", by=Order.shop)
    which = made({"amount": fn.log1p(Order.amount)}, when=count["1h"] > 3)
    assert one_partition(which) == {"when=": "kept by Order.shop"}


@pytest.mark.parametrize(
    ("name", "label", "why"),
    [
        ("silent", "Chargeback", None),
        ("delayed", "Arrival", None),
        ("answered", "Delivery", None),
        ("returns", "Return", None),
        ("demand", "Demand", None),
        ("watched", "Done", "Job has no key that would bring a label to the partition of its event"),
        ("follow", "Next", "Quote has no key that would bring a label to the partition of its event"),
    ],
)
def test_labels_must_come_to_their_event(name: str, label: str, why: str | None) -> None:
    assert one_partition(pipeline(name)).get(label) == why


class Batch(Event, topic="batches", id="batch", key="owner", time="at", lateness="1s"):
    batch: str
    owner: str
    lot: str
    at: datetime


class Verdict(Label, of=Batch, topic="tests", on="lot", wait="1d"):
    lot: str
    owner: str
    good: bool


class BatchFeatures(Features, of=Batch):
    n = fn.count(Batch).over("1h", by=Batch.owner)


def test_a_label_that_answers_by_another_field_needs_one_partition() -> None:
    which = Pipeline("batches", features=BatchFeatures, label=Verdict.good, model=linear_model.LogisticRegression())
    assert one_partition(which) == {"Verdict": "it answers by lot, which does not hold the key owner"}
    with pytest.raises(UsageError, match="Verdict"):
        require_partitions(which, 2)


@pytest.mark.parametrize("name", ["cards", "sms"])
def test_users_pipelines_that_any_number_of_partitions_carries(name: str) -> None:
    require_partitions(pipeline(name), 16)


@pytest.mark.parametrize("name", ["fraud", "flights", "elec", "eta", "recommend"])
def test_users_pipelines_that_need_one(name: str) -> None:
    with pytest.raises(UsageError, match="one partition"):
        require_partitions(pipeline(name), 2)


def test_a_learner_apart_needs_a_model_that_travels_and_features_in_examples() -> None:
    features = {"amount": fn.log1p(Order.amount)}
    linear = {"label": Returned.back, "model": linear_model.LogisticRegression()}
    require_shared(made(features, **linear), allow_pickle=False)
    require_shared(made(features), allow_pickle=False)
    with pytest.raises(UsageError, match="keeps no features"):
        require_shared(made(features, **linear, store_features=False), allow_pickle=True)
    bayes = made(features, label=Returned.back, model=naive_bayes.GaussianNB())
    require_shared(bayes, allow_pickle=True)
    with pytest.raises(UsageError) as error:
        require_shared(bayes, allow_pickle=False)
    assert "GaussianNB" in str(error.value)
    assert "nobody else can write to orders.models" in str(error.value)

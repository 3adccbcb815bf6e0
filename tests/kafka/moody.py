"""Orders whose model raises on the price 901; an order that is not returned within two seconds is kept."""

from datetime import datetime
from typing import Any

from river import base, linear_model

from stream_ml import Event, Features, Label, Pipeline, fn


class Order(Event, topic="orders", id="order", key="customer", time="at", lateness="1m"):
    order: str
    customer: str
    price: float
    at: datetime


class Return(Label, of=Order, topic="returns", wait="2s", silence={"returned": False}):
    order: str
    customer: str
    returned: bool


class OrderFeatures(Features, of=Order):
    price = fn.clip(Order.price, 0.0, 1_000.0)
    orders = fn.count(Order).over("1h", by=Order.customer)
    returned = fn.mean(Return.returned).over("1d", by=Order.customer)


class Moody(base.Classifier):
    """A logistic regression that raises when it is asked about 901."""

    def __init__(self) -> None:
        self.inner = linear_model.LogisticRegression()

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[bool | str | int, float]:
        if x["price"] == 901:
            message = "not in the mood"
            raise ValueError(message)
        chances: dict[bool | str | int, float] = self.inner.predict_proba_one(x)
        return chances

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.inner.learn_one(x, y)


pipeline = Pipeline("orders", features=OrderFeatures, label=Return.returned, model=Moody())

"""A pipeline whose model ends its process on certain prices, and notes that in a file beside it before it does."""

import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from river import base, linear_model

from stream_ml import Event, Features, Label, Pipeline, fn

DEATHS = Path(__file__).with_name("deaths")


class Order(Event, topic="orders", id="order", key="customer", time="at", lateness="1m"):
    order: str
    customer: str
    price: float
    at: datetime


class Return(Label, of=Order, topic="returns", wait="3s", silence={"returned": False}):
    order: str
    customer: str
    returned: bool


class OrderFeatures(Features, of=Order):
    price = fn.log1p(Order.price)
    asked = fn.clip(Order.price, 0.0, 1_000.0)
    orders = fn.count(Order).over("1h", by=Order.customer)
    returned = fn.mean(Return.returned).over("1d", by=Order.customer)


def die(what: str, price: float) -> None:
    with DEATHS.open("a") as deaths:
        deaths.write(f"{what} {price:g}\n")
    if price == 901:
        os._exit(7)
    if price in {902, 904}:
        os.kill(os.getpid(), signal.SIGSEGV)
    while price == 903:
        pass


class Deadly(base.Classifier):
    """A logistic regression that 901, 903 and 904 kill when it predicts, and 902 when it learns."""

    def __init__(self) -> None:
        self.inner = linear_model.LogisticRegression()

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[bool | str | int, float]:
        if x["asked"] in {901, 903, 904}:
            die("predict", x["asked"])
        chances: dict[bool | str | int, float] = self.inner.predict_proba_one({**x, "asked": 0.0})
        return chances

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        if x["asked"] == 902:
            die("learn", x["asked"])
        self.inner.learn_one({**x, "asked": 0.0}, y)


pipeline = Pipeline("orders", features=OrderFeatures, label=Return.returned, model=Deadly())

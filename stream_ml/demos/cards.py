"""Card payments over any number of partitions: every window is by the event's own key.

The main workload of the benchmarks: 12 features, 8 of them windows.
"""
from datetime import datetime
from typing import Annotated

from annotated_types import Ge
from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    payment: str
    card: str
    terminal: str
    amount: Annotated[float, Ge(0)]
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="7d", silence={"fraud": False}):
    payment: str
    card: str
    fraud: bool


class CardFeatures(Features, of=Payment):
    amount = fn.log1p(Payment.amount)
    hour = fn.hour(Payment.at)
    night = fn.hour(Payment.at) < 6
    n = fn.count(Payment).over("10m", "1h", "1d", "7d", by=Payment.card)           # 4 windows
    mean = fn.mean(Payment.amount).over("1d", "30d", by=Payment.card)              # 2
    ratio = Payment.amount / fn.mean(Payment.amount).before("7d", by=Payment.card)["7d"]  # 1
    frauds = fn.count(Chargeback).where(Chargeback.fraud).over("28d", by=Payment.card)    # 1
    gap = fn.since_last(Payment).over(by=Payment.card)


pipeline = Pipeline(
    "cards",
    features=CardFeatures,
    label=Chargeback.fraud,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

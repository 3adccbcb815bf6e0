"""The cards pipeline with exact windows, as the program by hand has them: only to compare feature by feature."""

from datetime import datetime
from typing import Annotated

from annotated_types import Ge
from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    """A card payment."""

    payment: str
    card: str
    terminal: str
    amount: Annotated[float, Ge(0)]
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="7d", silence={"fraud": False}):
    """What became of it."""

    payment: str
    card: str
    fraud: bool


class CardFeatures(Features, of=Payment):
    """The twelve features of ``stream_ml/demos/cards.py``."""

    amount = fn.log1p(Payment.amount)
    hour = fn.hour(Payment.at)
    night = fn.hour(Payment.at) < 6
    n = fn.count(Payment).over("10m", "1h", "1d", "7d", by=Payment.card, exact=True)
    mean = fn.mean(Payment.amount).over("1d", "30d", by=Payment.card, exact=True)
    ratio = Payment.amount / fn.mean(Payment.amount).before("7d", by=Payment.card, exact=True)["7d"]
    frauds = fn.count(Chargeback).where(Chargeback.fraud).over("28d", by=Payment.card, exact=True)
    gap = fn.since_last(Payment).over(by=Payment.card)


pipeline = Pipeline(
    "cards",
    features=CardFeatures,
    label=Chargeback.fraud,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

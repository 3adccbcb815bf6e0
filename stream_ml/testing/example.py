"""The pipeline that the driver's examples use."""

from __future__ import annotations

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml.language import fn
from stream_ml.language.declare import Event, Label
from stream_ml.language.features import Features
from stream_ml.language.pipeline import Pipeline


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    """A card payment."""

    payment: str
    card: str
    amount: float
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="7d", silence={"fraud": False}):
    """Whether a payment was fraud."""

    payment: str
    card: str
    fraud: bool


class PaymentFeatures(Features, of=Payment):
    """What the model sees of a payment."""

    amount = fn.log1p(Payment.amount)
    n = fn.count(Payment).over("1h", by=Payment.card)


pipeline = Pipeline(
    "fraud",
    features=PaymentFeatures,
    label=Chargeback.fraud,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

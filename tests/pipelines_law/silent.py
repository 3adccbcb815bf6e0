"""A label by id, with silence: label-fed windows of every sort, a weight, slices, a `when` that skips some events."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="20s", ahead="2m"):
    payment: str
    card: str
    shop: str | None = None
    amount: float | None = None
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="3m", silence={"fraud": False}):
    payment: str
    card: str
    fraud: bool | None
    loss: float = 0.5


class RiskFeatures(Features, of=Payment, take=(Payment.amount,)):
    n = fn.count(Payment).over("1m", by=Payment.card)
    risk = fn.mean(Chargeback.fraud).over("2m", "10m", by=Payment.shop)
    risk_before = fn.mean(Chargeback.fraud).before("2m", by=Payment.shop)
    known = fn.count(Chargeback).over("5m", by=Chargeback.card)
    frauds = fn.count(Chargeback).where(Chargeback.fraud).over("5m", by=Payment.card)
    lost = fn.sum(Chargeback.loss * Payment.amount).over("5m", by=None)
    spread = fn.std(Payment.amount).where(Chargeback.fraud).over("10m", by=None)
    worst = fn.max(Payment.amount).where(~Chargeback.fraud).over("1m", by=None, offset="1m")
    usual = fn.mean(Chargeback.loss).over("1m", by=(Payment.card, Payment.amount > 1), exact=True)
    recent = fn.mean(Chargeback.fraud).over(1, 4, by=Payment.card)
    ever = fn.var(Chargeback.loss + Payment.amount).over("forever", by=Payment.shop)
    shop = fn.last(Chargeback.fraud).over(by=Payment.shop)
    first = fn.first(Chargeback.fraud).over(by=Payment.card)
    earlier = fn.lag(Chargeback.loss, 2).over(by=Payment.card)
    quiet = fn.since_last(Chargeback).over(by=Payment.card)
    safe = fn.since_last(Chargeback).where(Chargeback.fraud).over(by=None)


pipeline = Pipeline(
    "silent",
    features=RiskFeatures,
    label=Chargeback.fraud,
    weight=fn.when(Chargeback.fraud, 20.0, otherwise=1.0) * Payment.amount,
    when=(Payment.amount > 0) | (fn.count(Payment).over("1m", by=Payment.card)["1m"] < 2),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    slices=(Payment.shop,),
    carry=(Payment.shop, Payment.amount),
)

"""Every aggregate over tiles: with and without the event, filtered, shifted, in few and many tiles; no label."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from stream_ml import Event, Features, Pipeline, fn


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="20s", ahead="1m"):
    payment: str
    card: str
    shop: str | None = None
    amount: float | None = None
    at: datetime


class TileFeatures(Features, of=Payment):
    n = fn.count(Payment).over("10s", "1m", "5m", by=Payment.card)
    total = fn.sum(Payment.amount).over("1m", "1h", by=Payment.card)
    mean = fn.mean(Payment.amount).over("1m", "5m", by=Payment.card)
    low = fn.min(Payment.amount).over("1m", "5m", by=Payment.card)
    high = fn.max(Payment.amount).over("1m", "5m", by=Payment.card)
    var = fn.var(Payment.amount).over("1m", "5m", by=Payment.card)
    std = fn.std(Payment.amount).over("1m", "5m", by=Payment.card)

    n_before = fn.count(Payment).before("1m", by=Payment.card)
    total_before = fn.sum(Payment.amount).before("1m", by=Payment.card)
    mean_before = fn.mean(Payment.amount).before("1m", by=Payment.card)
    low_before = fn.min(Payment.amount).before("1m", by=Payment.card)
    high_before = fn.max(Payment.amount).before("1m", by=Payment.card)
    var_before = fn.var(Payment.amount).before("1m", by=Payment.card)
    std_before = fn.std(Payment.amount).before("1m", by=Payment.card)

    large = fn.count(Payment).where(Payment.amount > 2).over("1m", by=Payment.shop)
    spread = fn.std(Payment.amount).where(Payment.amount != 0).before("5m", by=(Payment.card, Payment.shop))
    shifted = fn.sum(Payment.amount).over("1m", by=Payment.card, offset="1m")
    shifted_before = fn.var(Payment.amount).before("30s", by=Payment.card, offset="45s")
    few = fn.mean(Payment.amount).over("1m", by=Payment.card, tiles=7)
    one = fn.max(Payment.amount).over("90s", by=None, tiles=1)
    odd = fn.std(Payment.amount).over("7777ms", by=None, tiles=13, offset="1111ms")
    split = fn.count(Payment).over("1m", by=(Payment.card, Payment.amount > 2))
    z = fn.clip((Payment.amount - mean_before["1m"]) / std_before["1m"], -10, 10)


pipeline = Pipeline("tiles", features=TileFeatures, model=None)

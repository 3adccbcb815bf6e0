"""Eight windows by card, no label: what a million keys cost."""

from datetime import datetime

from stream_ml import Event, Features, Pipeline, fn


class Payment(Event, topic="payments", key="card", time="at", lateness="30s"):
    """A card payment."""

    card: str
    amount: float
    at: datetime


class CardFeatures(Features, of=Payment):
    """Counts over four spans, means over three, a sum over one."""

    n = fn.count(Payment).over("10m", "1h", "1d", "7d", by=Payment.card)
    mean = fn.mean(Payment.amount).over("1d", "7d", "30d", by=Payment.card)
    total = fn.sum(Payment.amount).over("30d", by=Payment.card)


pipeline = Pipeline("eight", features=CardFeatures, model=None)

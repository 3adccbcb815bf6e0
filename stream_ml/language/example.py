"""The declarations that the examples of `fn` use."""

from __future__ import annotations

from datetime import datetime

from stream_ml.language.declare import Event, Label, Table


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    """A card payment."""

    payment: str
    card: str
    shop: str
    country: str | None = None
    note: str
    code: int
    amount: float
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="7d", silence={"fraud": False}):
    """Whether a payment was fraud."""

    payment: str
    card: str
    fraud: bool


class Shop(Table, topic="shops", key="shop"):
    """A shop, as last told."""

    shop: str
    risk: float
    opened: datetime

"""first, lag, since_last of the own stream; all four, and windows, of another stream, read under other names."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from stream_ml import Event, Features, Pipeline, fn


class Visit(Event, topic="visits", id="visit", key="card", time="at", lateness="30s", ahead="1m"):
    visit: str
    card: str
    page: str | None = None
    seconds: float | None = None
    at: datetime


class Order(Event, topic="orders", id="order", key="owner", time="at", lateness="10s", ahead="1m"):
    order: str
    owner: str
    page: str | None = None
    amount: float | None = None
    items: int | None = None
    gift: bool | None = None
    at: datetime


class PointFeatures(Features, of=Order):
    first_over = fn.first(Order.amount).over(by=Order.owner)
    first_before = fn.first(Order.amount).before(by=Order.owner)
    first_page = fn.first(Order.page).over(by=Order.owner)
    lag = fn.lag(Order.amount).over(by=Order.owner)
    lag_before = fn.lag(Order.amount).before(by=Order.owner)
    lag3 = fn.lag(Order.items, 3).over(by=None)
    gift = fn.lag(Order.gift).over(by=Order.owner)
    moved = Order.page != fn.lag(Order.page).over(by=Order.owner)
    gap = fn.since_last(Order).over(by=Order.owner)
    big_gap = fn.since_last(Order).where(Order.amount > 2).over(by=Order.owner)
    dear = fn.lag(Order.amount).where(Order.amount > 2).over(by=None)

    seen = fn.count(Visit).over("1m", "5m", by=Visit.card, at=Order.owner)
    seen_before = fn.count(Visit).before("1m", by=Visit.card, at=Order.owner)
    stay = fn.mean(Visit.seconds).over("1m", by=Visit.card, at=Order.owner, exact=True)
    stay_page = fn.std(Visit.seconds).over("5m", by=Visit.page)
    stay_last = fn.sum(Visit.seconds).over(3, by=(Visit.card, Visit.page), at=(Order.owner, Order.page))
    stay_shifted = fn.max(Visit.seconds).over("1m", by=None, offset="30s")
    longest = fn.max(Visit.seconds).over("forever", by=Visit.card, at=Order.owner)
    page = fn.last(Visit.page).over(by=Visit.card, at=Order.owner)
    entry = fn.first(Visit.page).over(by=Visit.card, at=Order.owner)
    lagged = fn.lag(Visit.seconds, 2).over(by=Visit.card, at=Order.owner)
    away = fn.since_last(Visit).over(by=Visit.card, at=Order.owner)
    away_long = fn.since_last(Visit).where(Visit.seconds > 1).over(by=Visit.page)


pipeline = Pipeline("points", features=PointFeatures, model=None, when=Order.amount != 0, carry=(Order.page,))

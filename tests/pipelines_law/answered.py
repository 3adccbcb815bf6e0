"""One label answers all events of an order; tables looked up in values, filters and keys; several classes."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime
from typing import Literal

from river import compose, linear_model, multiclass, preprocessing

from stream_ml import Event, Features, Label, Pipeline, Table, fn


class Shop(Table, topic="shops", key="shop"):
    shop: str
    kind: Literal["food", "books"] | None = None
    risk: float


class Place(Table, topic="places", key=("country", "city"), time="since"):
    country: str
    city: str
    people: int
    since: datetime


class Ping(Event, topic="pings", id="ping", key="order", time="at", lateness="10s", ahead="1m"):
    ping: str
    order: str
    shop: str | None = None
    country: str
    city: str
    speed: float | None = None
    at: datetime


class Delivery(Label, of=Ping, topic="deliveries", on="order", wait="3m", silence={"how": "lost"}):
    order: str
    how: Literal["early", "late", "lost"]


class PingFeatures(Features, of=Ping):
    kind = fn.lookup(Shop.kind, Ping.shop)
    risk = fn.lookup(Shop.risk, Ping.shop)
    people = fn.lookup(Place.people, (Ping.country, Ping.city))
    known = fn.seconds(Ping.at - fn.lookup(Place.since, (Ping.country, Ping.city)))
    speed = fn.mean(Ping.speed).over("1m", by=Ping.order)
    pings = fn.count(Ping).over("1m", by=fn.lookup(Shop.kind, Ping.shop))
    risky = fn.sum(Ping.speed).where(fn.lookup(Shop.risk, Ping.shop) > 0.5).over("1m", "5m", by=Ping.city)
    late = fn.mean(Delivery.how == "late").over("5m", by=Ping.shop)
    how = fn.last(Delivery.how).over(by=Ping.shop)
    hows = fn.count(Delivery).over("5m", by=(Ping.city, Delivery.order))


numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
words = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True)
pipeline = Pipeline(
    "answered",
    features=PingFeatures,
    label=Delivery.how,
    model=(numbers + words) | multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
)

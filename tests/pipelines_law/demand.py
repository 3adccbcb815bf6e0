"""One topic: the same record tells an hour's conditions and, a minute later, what came of it."""

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Hour(Event, topic="bikes", id="instant", key=None, time="at", lateness="0s"):
    instant: int
    at: datetime
    temp: float
    holiday: bool


class Demand(Label, of=Hour, topic="bikes", delay="1m", wait="5m"):
    instant: int
    cnt: int


class HourFeatures(Features, of=Hour, take=(Hour.temp, Hour.holiday)):
    latest = fn.last(Demand.cnt).over(by=None)
    usual = fn.mean(Demand.cnt).over("5m", by=(fn.minute_of_day(Hour.at), fn.weekday(Hour.at) < 5))
    level = fn.mean(Demand.cnt).over("1m", "5m", by=None)
    heat = level["1m"] / level["5m"]


pipeline = Pipeline(
    "demand",
    features=HourFeatures,
    label=fn.log1p(fn.abs(Demand.cnt)),
    model=preprocessing.StandardScaler() | linear_model.LinearRegression(),
)

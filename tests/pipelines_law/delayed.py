"""A label by id, known some time after its record, dropped where it never comes; a regression; key of two fields."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Ride(Event, topic="rides", id="ride", key=("city", "line"), time="at", lateness="20s", ahead="1m"):
    ride: int
    city: str
    line: int
    stops: int | None = None
    at: datetime


class Arrival(Label, of=Ride, topic="arrivals", wait="4m", delay="30s", time="landed"):
    ride: int
    city: str
    line: int
    late: float | None = None
    landed: datetime


class RideFeatures(Features, of=Ride, take=(Ride.stops,)):
    day = fn.cyclic(fn.hour(Ride.at, tz="Europe/Paris"), 24)
    late = fn.mean(Arrival.late).over("1m", "5m", by=(Ride.city, Ride.line))
    took = fn.mean(fn.seconds(Arrival.landed - Ride.at)).over("5m", 3, by=Ride.city)
    last = fn.fill(fn.clip(fn.last(Arrival.late).over(by=Ride.city), -2, 2), 0.0)
    rest = fn.since_last(Arrival).over(by=Ride.city)
    n = fn.count(Ride).over("2m", by=(Ride.city, Ride.line))


pipeline = Pipeline(
    "delayed",
    features=RideFeatures,
    label=fn.clip(Arrival.late, -100, 100),
    weight=fn.when(Ride.stops > 1, 2.0),
    model=preprocessing.StandardScaler() | linear_model.LinearRegression(),
    slices=(Ride.city, Ride.line),
)

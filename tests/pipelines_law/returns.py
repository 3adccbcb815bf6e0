"""One topic: a visit is the return that earlier visits of its user waited for, a while later; else silence."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Visit(Event, topic="visits", id="visit", key="user", time="at", lateness="15s", ahead="1m"):
    visit: str
    user: str
    seconds: float | None = None
    at: datetime


class Return(Label, of=Visit, topic="visits", on="user", wait="2m", delay="10s", silence={"back": False}):
    user: str
    back: bool = True


class VisitFeatures(Features, of=Visit):
    away = fn.log1p(fn.since_last(Visit).over(by=Visit.user))
    n = fn.count(Visit).over("1m", "5m", by=Visit.user)
    n_earlier = fn.count(Visit).over("1m", by=Visit.user, offset="1m")
    back = fn.mean(Return.back).over("5m", by=Visit.user)
    loyal = fn.count(Return).where(Return.back).over("5m", by=None)
    stay = fn.mean(Visit.seconds).before("5m", by=Visit.user)


pipeline = Pipeline(
    "returns",
    features=VisitFeatures,
    label=Return.back,
    when=Visit.seconds != 0,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

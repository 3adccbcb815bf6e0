"""The record that follows answers all that wait: one topic, no id, no key, two hours at most."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime
from typing import Annotated

from pydantic import Field
from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Quote(Event, topic="quotes", key=None, time="at", lateness="0s"):
    at: datetime
    price: float
    demand: float | None = None


class Next(Label, of=Quote, topic="quotes", on=(), wait="2m"):
    move: Annotated[str, Field(alias="class")]


UP = Next.move == "UP"


class QuoteFeatures(Features, of=Quote, take=(Quote.price,)):
    step = Quote.price - fn.lag(Quote.price).over(by=None)
    day = Quote.price - fn.mean(Quote.price).before("1m", by=None)
    last_up = fn.last(UP).over(by=None)
    ups = fn.mean(UP).over(2, 6, by=None)
    demand = fn.max(Quote.demand).where(UP).over("1m", by=None)


pipeline = Pipeline(
    "follow", features=QuoteFeatures, label=UP, model=preprocessing.StandardScaler() | linear_model.LogisticRegression()
)

"""The same with a model that predicts whether a record is hot, and then learns what it says itself."""

from datetime import datetime
from typing import Annotated

from annotated_types import Ge
from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Record(Event, topic="records", id="id", key="consumer", time="at", lateness="0s"):
    """A record of 1 KiB; what it carries besides is in `payload`."""

    id: str
    consumer: str
    value: Annotated[float, Ge(0)]
    at: datetime
    stamp: float
    payload: str


class Hot(Label, of=Record, topic="records", wait="1d"):
    """What a record says of itself."""

    id: str
    consumer: str
    hot: bool


class Kept(Features, of=Record):
    """What is kept of a consumer, the record itself included."""

    n = fn.count(Record).over("forever", by=Record.consumer)
    total = fn.sum(Record.value).over("forever", by=Record.consumer)
    first = fn.first(Record.stamp).over(by=Record.consumer)
    last = Record.stamp + 0.0


pipeline = Pipeline(
    "shuffle_learning",
    features=Kept,
    label=Hot.hot,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

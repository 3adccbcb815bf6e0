"""Per key count, sum, first and last time stamp: the state of ShuffleBench's consumers, as features only."""

from datetime import datetime
from typing import Annotated

from annotated_types import Ge

from stream_ml import Event, Features, Pipeline, fn


class Record(Event, topic="records", id="id", key="consumer", time="at", lateness="0s"):
    """A record of 1 KiB; what it carries besides is in `payload`."""

    id: str
    consumer: str
    value: Annotated[float, Ge(0)]
    at: datetime
    stamp: float
    payload: str


class Kept(Features, of=Record):
    """What is kept of a consumer, the record itself included."""

    n = fn.count(Record).over("forever", by=Record.consumer)
    total = fn.sum(Record.value).over("forever", by=Record.consumer)
    first = fn.first(Record.stamp).over(by=Record.consumer)
    last = Record.stamp + 0.0


pipeline = Pipeline("shuffle", features=Kept, model=None)

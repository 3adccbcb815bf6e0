"""Labels answer whole batches by a number; ids, keys, targets are numbers; closely watched; few pages told apart."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import ADWIN, Event, Features, Label, Monitor, Pipeline, Table, fn


class Machine(Table, topic="machines", key="machine"):
    machine: int
    age: float | None = None


class Alert(Event, topic="alerts", id="alert", key="machine", time="at", lateness="15s", ahead="1m"):
    alert: int
    machine: int
    level: float | None = None
    at: datetime


class Job(Event, topic="jobs", id="job", key=None, time="at", lateness="20s", ahead="1m"):
    job: int
    batch: int | None = None
    machine: int
    urgent: bool
    size: float | None = None
    at: datetime


class Done(Label, of=Job, topic="done", on="batch", wait="3m", silence={"seconds": 7.0}):
    batch: int
    seconds: float | None


class JobFeatures(Features, of=Job, take=(Job.urgent,)):
    age = fn.lookup(Machine.age, Job.machine)
    size = fn.log1p(fn.abs(Job.size))
    alerts = fn.count(Alert).over("1m", by=Alert.machine, at=Job.machine)
    level = fn.mean(Alert.level).over(3, by=Alert.machine, at=Job.machine)
    took = fn.mean(Done.seconds).over("2m", by=Job.machine)
    same = fn.count(Job).over("1m", by=Job.batch)
    others = fn.count(Done).over("5m", by=Done.batch)


pipeline = Pipeline(
    "watched",
    features=JobFeatures,
    label=Done.seconds,
    weight=fn.when(Job.urgent, 2.0, otherwise=1.0),
    model=preprocessing.StandardScaler() | linear_model.LinearRegression(),
    slices=(Job.machine, Job.urgent),
    monitor=Monitor(
        every=5,
        last=7,
        max_groups=3,
        detectors=(ADWIN(delta=0.9, clock=1, grace_period=2, min_window_length=1), ADWIN()),
    ),
)

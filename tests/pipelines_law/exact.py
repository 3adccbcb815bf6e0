"""Every aggregate over spans that keep each event: exact, last n, forever; with and without the event."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime

from stream_ml import Event, Features, Pipeline, fn


class Reading(Event, topic="readings", id="reading", key=None, time="at", lateness="20s", ahead="1m"):
    reading: int
    machine: str | None = None
    heat: float | None = None
    at: datetime


class ExactFeatures(Features, of=Reading):
    n = fn.count(Reading).over("10s", "1m", by=Reading.machine, exact=True)
    total = fn.sum(Reading.heat).over("1m", "5m", by=Reading.machine, exact=True)
    mean = fn.mean(Reading.heat).before("1m", "5m", by=Reading.machine, exact=True)
    low = fn.min(Reading.heat).over("1m", by=None, exact=True)
    high = fn.max(Reading.heat).before("1m", by=None, exact=True)
    var = fn.var(Reading.heat).over("5m", by=None, exact=True)
    std = fn.std(Reading.heat).before("5m", by=None, exact=True)
    shifted = fn.sum(Reading.heat).over("1m", by=None, exact=True, offset="30s")
    hot = fn.mean(Reading.heat).where(Reading.heat > 1).over("1m", by=Reading.machine, exact=True)

    count_last = fn.count(Reading).over(1, 5, by=Reading.machine)
    sum_last = fn.sum(Reading.heat).over(2, 5, by=Reading.machine)
    mean_last = fn.mean(Reading.heat).before(3, 5, by=Reading.machine)
    min_last = fn.min(Reading.heat).over(4, by=None)
    max_last = fn.max(Reading.heat).before(4, by=None)
    var_last = fn.var(Reading.heat).over(3, by=Reading.machine)
    std_last = fn.std(Reading.heat).where(Reading.heat > 0).before(3, by=Reading.machine)

    count_ever = fn.count(Reading).over("forever", by=Reading.machine)
    sum_ever = fn.sum(Reading.heat).before("forever", by=Reading.machine)
    mean_ever = fn.mean(Reading.heat).over("forever", by=Reading.machine)
    min_ever = fn.min(Reading.heat).before("forever", by=Reading.machine)
    max_ever = fn.max(Reading.heat).over("forever", by=Reading.machine)
    var_ever = fn.var(Reading.heat).before("forever", by=Reading.machine)
    std_ever = fn.std(Reading.heat).where(Reading.heat != 2.5).over("forever", by=None)


pipeline = Pipeline("exact", features=ExactFeatures, model=None)

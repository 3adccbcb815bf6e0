"""Compiled equals river: the largest difference of their predictions over whole streams, relative to max(1, |p|).

Four public data sets are read from the folder that ``STREAM_ML_DATA`` names (they are not part of this project), the
year of flights comes with the package: its timetable, the features that the flights pipeline serves with online
windows, and its model. Each record is predicted, then learned; in the flights pipeline's own order, labels hours later.

    STREAM_ML_DATA=FOLDER python -m benchmarks equality [--quick]
"""

from __future__ import annotations

import copy
import csv
import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from river import linear_model, optim, preprocessing

from benchmarks.command import Found, check, main, scratch
from benchmarks.differences import largest_difference
from benchmarks.flights import river_scores, served_rows
from benchmarks.models import by_hand, encoded, ran, scaled, tapes
from stream_ml.demos import flights, flights_data
from stream_ml.engines.replay import replay
from stream_ml.kernels.jit import warm
from stream_ml.model.build import build
from stream_ml.model.fallback import ordered
from stream_ml.model.spec import Input
from stream_ml.schema.symbols import Symbols

FOLDER = "STREAM_ML_DATA"
BOUND = 1e-12
Record = tuple[dict[str, Any], Any]
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A file, what is read of a row, and the task; text columns are encoded, the rest scaled."""

    file: str
    read: Callable[[Row], Record | None]
    task: str


def elec2(row: Row) -> Record:
    """Give the half hour's demand and prices; whether the price goes up."""
    names = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    return {**{name: float(row[name]) for name in names}, "day": row["day"]}, row["class"] == "UP"


def occupancy(row: Row) -> Record:
    """Give the room's sensors; whether somebody is in it."""
    names = ("Temperature", "Humidity", "Light", "CO2", "HumidityRatio")
    hour = datetime.fromisoformat(row["date"]).hour
    return {**{name: float(row[name]) for name in names}, "hour": str(hour)}, row["Occupancy"] == "1"


def bike_hour(row: Row) -> Record:
    """Give weather and calendar; how many bikes are rented, in hundreds."""
    numbers = {name: float(row[name]) for name in ("temp", "atemp", "hum", "windspeed")}
    return numbers | {name: row[name] for name in ("hr", "weekday", "weathersit", "season")}, float(row["cnt"]) / 100


def prsa_pm25(row: Row) -> Record | None:
    """Give the weather; fine dust, in hundreds; None where it was not measured."""
    if row["pm"] in {"", "NA"}:
        return None
    numbers = {name: float(row[name]) for name in ("DEWP", "TEMP", "PRES", "Iws", "Is", "Ir")}
    return numbers | {name: row[name] for name in ("cbwd", "hour", "month")}, float(row["pm"]) / 100


SETS = {
    "elec2": DataSet("elec2.csv.gz", elec2, "binary"),
    "occupancy": DataSet("occupancy.csv.gz", occupancy, "binary"),
    "bike_hour": DataSet("bike_hour.csv.gz", bike_hour, "regression"),
    "prsa_pm25": DataSet("prsa_pm25.csv.gz", prsa_pm25, "regression"),
}
#: Rain is rare, so its first scaled values are in the dozens: a rate at which even they do not diverge.
GENTLE = 0.0002
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: optim.SGD(GENTLE),
    "AdaGrad": lambda: optim.AdaGrad(0.05),
    "Adam": lambda: optim.Adam(0.005),
}


def models(task: str) -> dict[str, Any]:
    """Return estimators with rates that converge, by name."""
    if task == "binary":
        return {name: encoded(linear_model.LogisticRegression(made())) for name, made in OPTIMIZERS.items()}
    return {
        name: encoded(linear_model.LinearRegression(made(), intercept_lr=0.005)) for name, made in OPTIMIZERS.items()
    }


def plainest(task: str) -> Any:
    """Return the model with one constant rate."""
    if task == "binary":
        return linear_model.LogisticRegression(optim.SGD(0.005))
    return linear_model.LinearRegression(optim.SGD(GENTLE), intercept_lr=0.005)


def benchmark(quick: bool) -> Found:
    """Compare on every data set that is there; without the folder only flights."""
    warm()
    limit = 2_000 if quick else None
    folder = os.environ.get(FOLDER)
    found: dict[str, Found] = {}
    for name, one in SETS.items() if folder else ():
        records = list(islice(read(Path(str(folder)) / one.file, one), limit))
        found |= {
            f"{name}, {optimizer}": compare(model, records, one.task) for optimizer, model in models(one.task).items()
        }
        numbers = [({key: x[key] for key in x if isinstance(x[key], float)}, y) for x, y in records]
        plain = plainest(one.task)
        found[f"{name}, numbers alone, min-max"] = compare(preprocessing.MinMaxScaler() | plain, numbers, one.task)
        found[f"{name}, numbers alone, SGD"] = compare(scaled(copy.deepcopy(plain)), numbers, one.task)
    found["flights, the pipeline's own answers"] = flights_pipeline(3_000 if quick else None)
    largest = max(one["largest_difference"] for one in found.values())
    return {
        "workload": "predict, then learn, record by record; |compiled - river| / max(1, |river|)",
        "bound": BOUND,
        "largest_difference": largest,
        "reached": largest <= BOUND,
        "streams": found,
    }


def read(path: Path, one: DataSet) -> Iterator[Record]:
    """Yield the records of a file in its order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            record = one.read(row)
            if record is not None:
                yield record


def compare(estimator: Any, records: list[Record], task: str) -> Found:
    """Predict and learn every record with both."""
    symbols = Symbols()
    inputs = [Input(name, "text" if isinstance(value, str) else "float") for name, value in records[0][0].items()]
    columns = []
    for one in inputs:
        values = [x[one.name] for x, _ in records]
        columns.append(symbols.code(values) if one.kind == "text" else np.array(values, np.float64))
    model = build(estimator, inputs, task, symbols)
    check(holds=all(part.compiled for part in model.parts), what=f"{estimator} is not compiled")
    truth = [y for _, y in records]
    ours = ran(model, tapes(np.stack(columns, axis=1), truth))
    theirs = by_hand(ordered(copy.deepcopy(estimator)), [x for x, _ in records], truth, task)
    error = np.abs(theirs - np.array(truth, np.float64))
    return {
        "records": len(records),
        "largest_difference": largest_difference(ours, theirs),
        "mean_absolute_error": round(float(np.nanmean(error)), 4),
    }


def flights_pipeline(limit: int | None) -> Found:
    """Replay the year; then let river predict from the features served and learn the examples at the same moments."""
    with scratch() as folder:
        history = flights_data.write(folder / "history")
        if limit is not None:
            for path in history.values():
                path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:limit]))
        done = replay(flights.pipeline, history, out=folder / "out", features=True)
        rows, lessons = served_rows(folder / "out")
        predictions = (folder / "out" / "predictions.ndjson").read_bytes().splitlines()
    theirs = river_scores(rows, lessons)
    ours = [orjson.loads(line)["score"] for line in predictions]
    check(holds=len(ours) == done.counters["predicted"], what="predictions")
    return {
        "records": len(ours),
        "largest_difference": largest_difference(np.array(ours), np.array(theirs)),
        "roc_auc": done.metric("roc_auc"),
        "learned": rows[-1][1],
    }


if __name__ == "__main__":
    main("equality", benchmark, __doc__)

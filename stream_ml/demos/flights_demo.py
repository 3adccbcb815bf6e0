"""`stream-ml demo flights`: a year of flights through the local engine, and what the online features are worth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from stream_ml.client.connection import connect
from stream_ml.config.settings import Durable, Settings
from stream_ml.demos import flights, flights_data, flights_schedule, plot
from stream_ml.demos.history import append
from stream_ml.demos.show import Board, bar, metric
from stream_ml.engines.local.worker import Worker
from stream_ml.engines.replay import Replayed, replay
from stream_ml.errors import UsageError
from stream_ml.kernels.jit import warm
from stream_ml.sessions.session import Session

FOLDER = Path("out") / "flights"
DATABASE = "flights.db"
NAMES = {"roc_auc": "ROC AUC", "log_loss": "log loss"}
#: Labels of a whole window.
FULL = 10_000


def run(*, json: bool = False, folder: Path = FOLDER) -> dict[str, Any]:
    """Run the demonstration and say what came of it.

    Steps: 1 the year as NDJSON; 2 the same as a log; 3 the local engine over the log; 4 the timetable alone, replayed;
    5 summary and picture.

    Parameters
    ----------
    json
        Write the summary to stdout as JSON instead of for people.
    folder
        What it writes goes there; a run before is replaced.
    """
    console = Console(stderr=json)
    folder.mkdir(parents=True, exist_ok=True)
    with bar(console, "compile the kernels (once)") as progress:
        warm(progress)
    files = flights_data.write(folder)
    database = folder / DATABASE
    for old in folder.glob(f"{DATABASE}*"):
        old.unlink()
    streams = Session(flights.pipeline).plan.scorer.streams
    with bar(console, "write the year into a log") as progress:
        rows = append(database, files, [(streams[0], "at"), (streams[1], "landed")], progress)
    found = _live(console, database, rows)
    with bar(console, "the same model on the timetable alone") as progress:
        schedule = replay(flights_schedule.pipeline, files, out=folder / "schedule", progress=progress)
    found["schedule"] = {name: schedule.metric(name) for name in NAMES}
    found["files"] = _files(folder, database, found, schedule)
    if json:
        Console().print_json(orjson.dumps(found).decode())
    else:
        _summary(console, found)
    return found


def _live(console: Console, database: Path, rows: int) -> dict[str, Any]:
    """Run the worker over the log."""
    settings = Settings(durable=Durable.NORMAL)
    with Board(console, "flights, 2013, on the local engine", rows) as board:
        begun = time.perf_counter()
        with Worker(flights.pipeline, database, settings, watcher=board) as worker:
            worker.run(until_end=True)
            seconds = time.perf_counter() - begun
            session = worker.session
            counters = session.stats
            return {
                "records": rows,
                "seconds": seconds,
                "rate": rows / seconds,
                "events": counters["events"],
                "predictions": counters["predicted"],
                "examples": counters["examples"],
                "alarms": counters["alarms"],
                "online": {name: metric(session, name, "all") for name in NAMES},
            }


def _files(folder: Path, database: Path, found: Mapping[str, Any], schedule: Replayed) -> dict[str, str]:
    paths = {"log": database, "flights": folder / "flights.ndjson", "arrivals": folder / "arrivals.ndjson"}
    with connect(f"sqlite:///{database}") as log:
        measured = [one for one in log.consume("flights.metrics") if one["slice"] is None]
        alarms = [one["at"] for one in log.consume("flights.alarms")] if found["alarms"] else []
    with schedule.files["metrics"].open("rb") as file:
        rival = [one for one in map(orjson.loads, file) if one["slice"] is None]
    panels = {
        title: [
            _line("online features, last 10,000", measured, name),
            _line("timetable alone, last 10,000", rival, name),
        ]
        for name, title in NAMES.items()
    }
    try:
        paths["picture"] = plot.draw(folder / "quality.png", "Flights out of New York, 2013", panels, alarms)
    except UsageError:  # without matplotlib there is no picture, and everything else stands
        pass
    return {name: str(path) for name, path in paths.items()}


def _line(title: str, measured: Sequence[Mapping[str, Any]], name: str) -> plot.Line:
    chosen = [one for one in measured if (one["name"], one["window"]) == (name, "last10000") and one["n"] == FULL]
    return plot.Line(title, [one["at"] for one in chosen], [one["value"] for one in chosen])


def _summary(console: Console, found: Mapping[str, Any]) -> None:
    table = Table(title="What online features add to the timetable", title_justify="left")
    for column in ("", *NAMES.values()):
        table.add_column(column, justify="right" if column else "left")
    for title, name in (("timetable alone", "schedule"), ("with online features", "online")):
        table.add_row(title, *(f"{found[name][key]:.4f}" for key in NAMES))
    console.print(
        f"{found['predictions']:,} predictions and {found['examples']:,} labels in {found['seconds']:.1f} s: "
        f"{found['rate']:,.0f} records a second, {found['alarms']} drift alarms",
        highlight=False,
    )
    console.print(table)
    for name, path in found["files"].items():
        console.print(f"{name:>10}  {path}", highlight=False, soft_wrap=True)
    log = found["files"]["log"]
    console.print("Look at the predictions:", highlight=False)
    console.print(f"  stream-ml consume flights.predictions --on sqlite:///{log} --format table", soft_wrap=True)
    console.print("Write your own:", highlight=False)
    console.print("  stream-ml new mine", highlight=False)


__all__ = ["run"]

"""The flights pipeline: no feature looks ahead, labels matter when they come, one answer live and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import stream_ml
from stream_ml.client.connection import connect
from stream_ml.config.settings import Durable, Settings
from stream_ml.demos import flights, flights_demo, flights_schedule
from stream_ml.demos.flights_data import read, write
from stream_ml.demos.history import append
from stream_ml.engines.local.worker import Worker
from stream_ml.engines.replay import Options, Replayed
from stream_ml.sessions.session import Session

Record = dict[str, Any]
DAY_MS = 86_400_000
LABEL_FED = ("late_", "late_carrier_", "delay_", "delay_dest_", "aloft_", "tail_")
#: Flights of the slice: the first days of January, at three airports.
SLICE = 6_000
COLLECT = Options(collect=True)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write(tmp_path_factory.mktemp("year"))


@pytest.fixture(scope="module")
def history(year: dict[str, Path]) -> dict[str, list[Record]]:
    """The first flights, and the arrivals of exactly those."""
    with year["flights"].open("rb") as file:
        events = [orjson.loads(line) for line, _ in zip(file, range(SLICE), strict=False)]
    known = {event["id"] for event in events}
    with year["arrivals"].open("rb") as file:
        labels = [one for one, _ in zip(map(orjson.loads, file), range(2 * SLICE), strict=False) if one["id"] in known]
    return {"flights": events, "arrivals": labels}


def played(flights_: list[Record], arrivals: list[Record]) -> Replayed:
    return stream_ml.replay(
        flights.pipeline, {"flights": flights_, "arrivals": arrivals}, features=True, options=COLLECT
    )


def served(done: Replayed) -> dict[str, Record]:
    return {one["id"]: one["features"] for one in map(json.loads, done.outputs["predictions"])}


@pytest.fixture(scope="module")
def whole(history: dict[str, list[Record]]) -> dict[str, Record]:
    return served(played(history["flights"], history["arrivals"]))


def differing(one: dict[str, Record], other: dict[str, Record]) -> set[str]:
    """Return the features that differ for any flight."""
    return {name for id_ in one for name, value in one[id_].items() if value != other[id_][name]}


def test_shifting_every_label_by_a_day_changes_label_fed_features_and_no_other(
    history: dict[str, list[Record]], whole: dict[str, Record]
) -> None:
    later = [{**label, "landed": label["landed"] + DAY_MS} for label in history["arrivals"]]
    changed = differing(whole, served(played(history["flights"], later)))
    fed = {name for name in next(iter(whole.values())) if name.startswith(LABEL_FED)}
    assert changed == fed
    assert len(fed) == 11


@pytest.mark.parametrize("share", [0.13, 0.41, 0.77])
def test_no_feature_uses_a_label_that_had_not_arrived(
    share: float, history: dict[str, list[Record]], whole: dict[str, Record]
) -> None:
    cut = history["flights"][int(share * SLICE)]["at"]
    events = [event for event in history["flights"] if event["at"] <= cut]
    labels = [label for label in history["arrivals"] if label["landed"] < cut]
    assert len(labels) < len(events) < SLICE
    known = served(played(events, labels))
    assert len(known) == len(events)
    assert differing(known, whole) == set()


def test_a_label_that_had_arrived_is_used(history: dict[str, list[Record]], whole: dict[str, Record]) -> None:
    """The check above would notice: the labels of the last hour before a moment do change its features."""
    cut = history["flights"][SLICE // 2]["at"]
    labels = [label for label in history["arrivals"] if label["landed"] < cut - 3_600_000]
    known = served(played([event for event in history["flights"] if event["at"] <= cut], labels))
    assert differing(known, whole) == {name for name in differing(known, whole) if name.startswith(LABEL_FED)} != set()


def slice_files(folder: Path, history: dict[str, list[Record]]) -> dict[str, Path]:
    files = {topic: folder / f"{topic}.ndjson" for topic in history}
    for topic, path in files.items():
        path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in history[topic]))
    return files


def test_the_local_engine_over_the_log_of_the_year_gives_what_replay_gives(
    tmp_path: Path, history: dict[str, list[Record]]
) -> None:
    files = slice_files(tmp_path, history)
    database = tmp_path / "flights.db"
    streams = Session(flights.pipeline).plan.scorer.streams
    told: list[tuple[int, int]] = []
    progress: Callable[[int, int], None] = lambda done, rows: told.append((done, rows))  # noqa: E731
    rows = append(database, files, [(streams[0], "at"), (streams[1], "landed")], progress)
    assert rows == sum(map(len, history.values())) == told[-1][0]
    with Worker(flights.pipeline, database, Settings(durable=Durable.NORMAL)) as worker:
        worker.run(until_end=True)
    replayed = stream_ml.replay(flights.pipeline, files, options=COLLECT)
    with connect(f"sqlite:///{database}") as log:
        for kind in ("predictions", "examples", "metrics", "alarms"):
            live = list(log.consume(f"flights.{kind}"))
            again = [json.loads(line) for line in replayed.outputs[kind]]
            for one in (*live, *again):
                one.pop("prediction_id", None)  # a place: a row of the log, or of a file
            assert live == again, kind


@pytest.mark.slow
def test_quality_over_the_year(year: dict[str, Path]) -> None:
    online = stream_ml.replay(flights.pipeline, year)
    timetable = stream_ml.replay(flights_schedule.pipeline, year)
    assert online.counters["predicted"] == len(read().id)
    for name, with_, without in (("roc_auc", 0.7619, 0.7233), ("log_loss", 0.4607, 0.4893)):
        assert online.metric(name) == pytest.approx(with_, abs=0.001)
        assert timetable.metric(name) == pytest.approx(without, abs=0.001)


@pytest.mark.slow
def test_the_demo_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = flights_demo.run(json=True, folder=tmp_path)
    assert json.loads(capsys.readouterr().out) == json.loads(orjson.dumps(found))
    assert found["online"]["roc_auc"] > 0.735 > found["schedule"]["roc_auc"]
    assert (found["events"], found["examples"], found["records"]) == (336_776, 327_346, 664_122)
    for path in found["files"].values():
        assert Path(path).stat().st_size > 10_000
    assert Path(found["files"]["picture"]).read_bytes()[1:4] == b"PNG"

"""What replay does with times, bad rows, wrong calls and its output folder."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import linear_model

import stream_ml
from stream_ml import Event, Features, Label, Pipeline, Table, fn
from stream_ml.engines.replay.engine import Options
from stream_ml.errors import InputError, StorageError, UsageError
from tests.pipelines_data import records
from tests.replay.histories import files, pipeline

COLLECT = Options(collect=True)


class Reading(Event, topic="readings", id="id", key="pump", time="at", lateness="10s", ahead="1h"):
    id: str
    pump: str
    value: float
    at: datetime


class Fault(Label, of=Reading, topic="faults", wait="1h", silence={"fault": False}):
    id: str
    pump: str
    fault: bool


class TimedFault(Label, of=Reading, topic="faults", wait="1h", time="seen"):
    id: str
    pump: str
    fault: bool
    seen: datetime


class Pump(Table, topic="pumps", key="pump"):
    pump: str
    age: float


class ReadingFeatures(Features, of=Reading):
    value = Reading.value + 0.0
    n = fn.count(Reading).over("1d", by=Reading.pump)


class LookingFeatures(Features, of=Reading):
    age = fn.lookup(Pump.age, Reading.pump)


silent = Pipeline("silent", features=ReadingFeatures, label=Fault.fault, model=linear_model.LogisticRegression())
timed = Pipeline("timed", features=ReadingFeatures, label=TimedFault.fault, model=linear_model.LogisticRegression())
looking = Pipeline("looking", features=LookingFeatures, model=None)
MINUTE = 60_000
START = 1_717_398_000_000


def reading(number: int, at: int, **more: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "pump": "p1", "value": float(number), "at": at, **more}


def told(lines: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in lines]


def readings(n: int) -> list[dict[str, Any]]:
    return [reading(i, START + i * MINUTE) for i in range(n)]


def test_own_times_stand_in_for_received_times() -> None:
    faults = [{"id": "r1", "pump": "p1", "fault": True, "seen": "2024-06-03T07:02:30Z"}]
    done = stream_ml.replay(timed, {"readings": readings(5), "faults": faults}, options=COLLECT)
    (example,) = told(done.outputs["examples"])
    assert (example["id"], example["received"], example["known"]) == ("r1", START + MINUTE, START + 150_000)
    versions = [one["version"][1] for one in told(done.outputs["predictions"])]
    assert versions == [0, 0, 0, 1, 1]  # the fault of the second reading is seen between the third and the fourth


def test_a_named_column_is_the_received_time() -> None:
    events = [reading(i, START + i * MINUTE, stored=START + i * MINUTE + 500) for i in range(2)]
    faults = [{"id": "r0", "pump": "p1", "fault": True, "told": "2024-06-03T07:00:59Z"}]
    given = {"readings": events, "faults": faults}
    done = stream_ml.replay(silent, given, received={"readings": "stored", "faults": "told"}, options=COLLECT)
    (example,) = told(done.outputs["examples"])
    assert (example["received"], example["known"]) == (START + 500, START + 59_000)


def test_a_label_stream_that_says_nothing_of_time_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        stream_ml.replay(silent, {"readings": readings(2), "faults": [{"id": "r0", "pump": "p1", "fault": True}]})
    assert str(caught.value) == (
        "nothing says when the records of faults were received, so what they teach would come too early. "
        "Give the file a column `received` (or --received faults=COLUMN), or write "
        "class Fault(..., time=\"FIELD\") in the file of 'silent'"
    )


def test_a_table_without_time_is_constant_from_the_start_and_says_so() -> None:
    table = [{"pump": "p1", "age": 3.0}, {"pump": "p1", "age": 4.0}]
    done = stream_ml.replay(looking, {"readings": readings(2), "pumps": table}, features=True, options=COLLECT)
    assert [one["features"]["age"] for one in told(done.outputs["predictions"])] == [4.0, 4.0]
    assert done.warnings == (
        "pumps has neither a column `received` nor time=: Pump is taken as constant from the start, so features may "
        "look ahead",
    )


@pytest.mark.parametrize("place", [0, 1, 12, 19])
@pytest.mark.parametrize("turn", [1, 8_192])
def test_one_record_dated_far_ahead_does_not_carry_the_clock_away(place: int, turn: int) -> None:
    events = readings(40)
    events[place] = reading(99, START * 2)
    options = Options(turn=turn, collect=True)
    done = stream_ml.replay(timed, {"readings": (event for event in events), "faults": []}, options=options)
    assert done.counters["dead"] == {"ahead": 1}
    assert (done.counters["predicted"], done.counters["late"]) == (39, 0)
    (letter,) = told(done.outputs["dead"])
    assert (letter["offset"], letter["path"]) == (place, "$.at")


def test_a_gap_in_the_history_is_no_mistake() -> None:
    day = 86_400_000
    events = [reading(i, START + i * day) for i in range(30)]
    done = stream_ml.replay(timed, {"readings": events, "faults": []}, options=COLLECT)
    assert (done.counters["predicted"], done.counters["dead"]) == (30, {})


def test_deadlines_after_the_last_record_stay_pending() -> None:
    done = stream_ml.replay(silent, {"readings": readings(90), "faults": []}, options=COLLECT)
    fates = [(one["id"], one["fate"]) for one in told(done.outputs["examples"])]
    assert fates == [(f"r{i}", "silence") for i in range(29)]  # one hour before the last reading, and older
    assert done.counters["pending"] == 61


def test_damaged_rows_are_dead_letters_and_time_passes(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    rows = [f"r{i},p1,{i},{START + i * MINUTE},{START + i * MINUTE}" for i in range(5)]
    rows[2] = f"r2,p1,2,{START}"
    file.write_text("\n".join(["id,pump,value,at,received", *rows]) + "\n", encoding="utf-8")
    for turn in (1, 2, 100):
        done = stream_ml.replay(silent, {"readings": file, "faults": []}, options=Options(turn=turn, collect=True))
        (letter,) = told(done.outputs["dead"])
        assert [letter[name] for name in ("topic", "offset", "reason", "path", "received")] == [
            "readings", 2, "row", "$", START + MINUTE,
        ]  # fmt: skip
        assert letter["message"] == "row 3: 4 cells where the header has 5"
        assert [one["id"] for one in told(done.outputs["predictions"])] == ["r0", "r1", "r3", "r4"]
        assert done.counters["dead"] == {"row": 1}


def test_a_row_without_received_time_is_a_dead_letter_too() -> None:
    events = [reading(i, START + i * MINUTE, received=START + i * MINUTE) for i in range(3)]
    events[1]["received"] = "yesterday"
    done = stream_ml.replay(silent, {"readings": events, "faults": []}, options=COLLECT)
    (letter,) = told(done.outputs["dead"])
    assert (letter["reason"], letter["path"], letter["offset"]) == ("time", "$.received", 1)
    assert done.counters["predicted"] == 2


def test_an_unsorted_file_is_told_of() -> None:
    events = [reading(i, START + (i * 37 % 50) * 60 * MINUTE) for i in range(50)]
    done = stream_ml.replay(timed, {"readings": events, "faults": []})
    (said,) = done.warnings
    assert said.endswith(
        " of 50 records of readings stand after later ones: they count as received with those; sort the file by time"
    )


def test_outputs_are_written_and_named_when_they_are_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = files(tmp_path, records("cards", 200, 3))
    done = stream_ml.replay(pipeline("cards"), given, out=out, options=COLLECT)
    kinds = ("predictions", "examples", "dead", "alarms", "metrics")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["metrics.json", *(f"{kind}.ndjson" for kind in kinds)]
    )
    for kind in kinds:
        assert done.files[kind].read_bytes().splitlines() == done.outputs[kind]
    summary = json.loads(done.files["summary"].read_bytes())
    assert summary["counters"]["predicted"] == len(done.outputs["predictions"])
    assert summary["metrics"] == done.metrics
    assert done.metric("accuracy") == next(m["value"] for m in done.metrics if m["name"] == "accuracy")


def test_a_history_that_breaks_off_leaves_no_half_outputs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = files(tmp_path, records("cards", 200, 3), "gzip")
    damaged = given["payments"]
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(InputError, match="gzip"):
        stream_ml.replay(pipeline("cards"), given, out=out)
    assert list(out.iterdir()) == []


def test_wrong_calls_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="history names reading, which the pipeline does not read"):
        stream_ml.replay(silent, {"reading": []})
    with pytest.raises(UsageError, match="reads readings, and no history of it is given"):
        stream_ml.replay(silent, {"faults": []})
    with pytest.raises(UsageError, match="received= names fault, which"):
        stream_ml.replay(silent, {"readings": []}, received={"fault": "at"})
    with pytest.raises(InputError, match="does not exist"):
        stream_ml.replay(silent, {"readings": tmp_path / "none.ndjson"})
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        stream_ml.replay(silent, {"readings": readings(1), "faults": []}, out=file / "out")


def test_a_topic_without_history_is_taken_as_empty_and_told_of() -> None:
    done = stream_ml.replay(silent, {"readings": readings(3)})
    assert done.warnings == ("no history of faults is given: it is taken as empty",)
    assert done.counters["predicted"] == 3


def test_a_label_in_its_events_own_records_is_dated_by_them() -> None:
    rows = records("elec", 100, 1)
    (topic,) = {topic for topic, _, _ in rows}
    done = stream_ml.replay(pipeline("elec"), {topic: [record for _, _, record in rows]}, options=COLLECT)
    assert done.counters["predicted"] > 0
    assert done.counters["examples"] > 0

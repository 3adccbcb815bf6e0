"""Replay gives what the core gives: however the files are packed, read in blocks and cut into turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stream_ml
from stream_ml.engines.replay.engine import Options
from stream_ml.engines.saved import load_state
from stream_ml.schema import blocks
from tests.pipelines_data import Row, names, records
from tests.replay.histories import FORMATS, by_topic, files, pipeline, runs, straight


@pytest.mark.parametrize("name", names())
def test_files_give_what_the_session_gives(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = records(name, 150, 5)
    expected = straight(name, rows)
    assert expected["predictions"]
    monkeypatch.setattr(blocks, "BLOCK", 4_000)
    done = stream_ml.replay(
        pipeline(name), files(tmp_path, rows), features=True, options=Options(turn=37, collect=True)
    )
    assert done.outputs == expected
    assert done.records == len(rows)
    assert done.warnings == ()


@pytest.mark.parametrize("turn", [1, 2, 64, 100_000])
@pytest.mark.parametrize("block", [300, 5_000, 1 << 20])
def test_cuts_do_not_show(turn: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = records("fraud", 120, 11)
    expected = straight("fraud", rows)
    monkeypatch.setattr(blocks, "BLOCK", block)
    options = Options(turn=turn, collect=True)
    assert (
        stream_ml.replay(pipeline("fraud"), files(tmp_path, rows), features=True, options=options).outputs == expected
    )


def test_turns_are_no_longer_than_asked_and_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = records("cards", 400, 2)
    monkeypatch.setattr(blocks, "BLOCK", 2_000)
    made: list[int] = []
    before = 0

    def watch(session: object, turn: object) -> None:
        nonlocal before
        made.append(progressed[-1] - before)
        before = progressed[-1]

    progressed: list[int] = []
    stream_ml.replay(
        pipeline("cards"), files(tmp_path, rows), progress=lambda n, _: progressed.append(n),
        options=Options(turn=25, watcher=watch),
    )  # fmt: skip
    assert max(made) <= 25
    assert sum(made) == len(rows)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["cards", "eta", "flights"])
def test_formats_give_the_same_bytes(name: str, form: str, tmp_path: Path) -> None:
    rows = records(name, 300, 4)
    expected = straight(name, rows)
    done = stream_ml.replay(pipeline(name), files(tmp_path, rows, form), features=True, options=Options(collect=True))
    assert done.outputs["predictions"] == expected["predictions"]
    assert done.outputs["examples"] == expected["examples"]
    assert done.outputs["metrics"] == expected["metrics"]


def test_records_in_memory_are_a_history_too() -> None:
    rows = records("cards", 200, 6)
    expected = straight("cards", rows)
    options = Options(collect=True)
    whole = by_topic(rows)
    done = stream_ml.replay(pipeline("cards"), whole, features=True, options=options)
    assert done.outputs["predictions"] == expected["predictions"]
    as_bytes = {topic: (json.dumps(one).encode() for one in many) for topic, many in whole.items()}
    again = stream_ml.replay(pipeline("cards"), as_bytes, features=True, options=options)
    assert again.outputs == expected


def test_several_files_of_a_topic_are_merged_by_time(tmp_path: Path) -> None:
    rows = [
        (topic, 3 * received + i % 3, record) for i, (topic, received, record) in enumerate(records("cards", 300, 8))
    ]
    rows = sorted({row[1]: row for row in rows}.values(), key=lambda row: row[1])  # no two at one moment
    expected = [json.loads(line) for line in straight("cards", rows)["predictions"]]
    parts: dict[str, list[Path]] = {}
    for number, chosen in enumerate((slice(0, None, 2), slice(1, None, 2))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for topic, many in by_topic(rows).items():
            split = [
                (topic, record["received"], {k: v for k, v in record.items() if k != "received"}) for record in many
            ]
            for name, path in files(folder, split[chosen]).items():
                parts.setdefault(name, []).append(path)
    done = stream_ml.replay(pipeline("cards"), parts, features=True, options=Options(collect=True))
    found = [json.loads(line) for line in done.outputs["predictions"]]
    assert [one.pop("prediction_id") for one in found] == [one.pop("prediction_id") for one in expected]
    assert found == expected


def halves(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Split rows between two moments."""
    middle = rows[len(rows) // 2][1]
    return [row for row in rows if row[1] < middle], [row for row in rows if row[1] >= middle]


@pytest.mark.parametrize("name", ["fraud", "flights", "sms"])
def test_a_saved_state_goes_on_where_the_history_ended(name: str, tmp_path: Path) -> None:
    rows = records(name, 200, 9)
    expected = straight(name, rows)
    first, second = halves(rows)
    done = stream_ml.replay(
        pipeline(name), files(tmp_path, first), features=True, save=tmp_path / "state", options=Options(collect=True)
    )
    session, _, _ = load_state(pipeline(name), tmp_path / "state")
    assert {**session.stats, "state_bytes": 0} == {**done.counters, "state_bytes": 0}
    for kind in ("predictions", "examples", "alarms", "metrics"):
        head = done.outputs[kind]
        assert head == expected[kind][: len(head)], kind
    session.outputs._features = True
    turn = session.feed(list(runs(session, second)))
    tail = {one.topic.rpartition(".")[2]: one.values for one in turn.out}
    shown = [json.loads(line) for line in tail["predictions"]]
    wanted = [json.loads(line) for line in expected["predictions"][len(done.outputs["predictions"]) :]]
    for one in (*shown, *wanted):
        del one["prediction_id"]
    assert shown == wanted
    assert tail["examples"] == expected["examples"][len(done.outputs["examples"]) :]

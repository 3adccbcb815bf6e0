"""The feature table of a history is what a live run serves, to the last bit, however the history is packed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import stream_ml
from stream_ml.engines.replay import table as engine
from stream_ml.engines.replay.table import history
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema import symbols
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.machine import reads_outcomes
from stream_ml.sessions.features import FeatureSession
from tests.pipelines_data import names, records
from tests.replay.histories import FORMATS, by_topic, files, pipeline, straight

Served = list[dict[str, Any]]


def bits(value: object) -> object:
    """Return a value such that equal ones are equal to the last bit."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def plain(row: dict[str, Any], declared: Pipeline) -> dict[str, Any]:
    """Return a row of the table as predictions spell its features."""
    kinds = {one.name: one.kind for one in FeatureSession(declared).fields}
    found = {}
    for name in declared.features.served:
        value = row[name]
        if value is not None and kinds[name] == "category":
            value = str(value)
        if value is not None and kinds[name] == "time":
            value = round(value.timestamp() * 1000)
        found[name] = bits(float(value) if kinds[name] in {"float", "span"} and value is not None else value)
    return found


def served(lines: list[bytes]) -> list[dict[str, Any]]:
    """Return the features of predictions or examples, floats as bits."""
    return [
        {name: bits(value) for name, value in json.loads(line).get("features", {}).items()} for line in lines
    ]  # fmt: skip


def floats(rows: list[dict[str, Any]], declared: Pipeline) -> list[dict[str, Any]]:
    """JSON has one kind of number: make a float of each whole one where the feature is one."""
    kinds = {one.name: one.kind for one in FeatureSession(declared).fields}
    return [
        {
            name: bits(float(value)) if kinds[name] in {"float", "span"} and isinstance(value, int) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def featured(name: str, folder: Path, form: str, n: int, seed: int) -> tuple[Served, Any]:
    declared = pipeline(name)
    done = history(declared, files(folder, records(name, n, seed), form))
    return [plain(row, declared) for row in done.table.to_pylist()], done


@pytest.mark.parametrize("name", names())
def test_a_feature_table_equals_what_a_live_run_serves(name: str, tmp_path: Path) -> None:
    live = straight(name, records(name, 300, 5))
    found, done = featured(name, tmp_path, "ndjson", 300, 5)
    assert found == floats(served(live["predictions"]), pipeline(name))
    assert len(found) == done.rows > 0
    if live["examples"] and pipeline(name).store_features:
        known = {tuple(sorted(row.items())) for row in found}
        assert {tuple(sorted(row.items())) for row in floats(served(live["examples"]), pipeline(name))} <= known


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["cards", "fraud", "eta", "flights", "bids"])
def test_formats_and_cuts_do_not_show(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = floats(served(straight(name, records(name, 400, 4))["predictions"]), pipeline(name))
    monkeypatch.setattr(engine, "TURN", 171)
    found, _ = featured(name, tmp_path, form, 400, 4)
    assert found == expected


def test_rows_name_their_events(tmp_path: Path) -> None:
    rows = records("cards", 200, 3)
    predictions = [json.loads(line) for line in straight("cards", rows)["predictions"]]
    found = stream_ml.history(pipeline("cards"), files(tmp_path, rows, "parquet")).table
    assert found.column_names[:3] == ["payment", "card", "at"]
    assert found["payment"].to_pylist() == [one["id"] for one in predictions]
    assert found["card"].to_pylist() == [one["key"] for one in predictions]
    assert [round(at.timestamp() * 1000) for at in found["at"].to_pylist()] == [one["at"] for one in predictions]


def test_labels_are_read_only_where_windows_are_fed_by_them() -> None:
    fed = {name for name in names() if reads_outcomes(FeatureSession(pipeline(name)).scorer.spec)}
    assert {"cards", "fraud"} <= fed < set(names())
    for name in sorted(set(names()) - fed):
        declared = pipeline(name)
        session = FeatureSession(declared)
        rows = by_topic(records(name, 120, 7))
        event = session.topics[0]
        if session.label_topic is None or session.label_topic == event:
            continue
        whole = history(declared, rows)
        assert any(f"{session.label_topic} is not read" in one for one in whole.warnings)
        rest = {topic: given for topic, given in rows.items() if topic != session.label_topic}
        assert history(declared, rest).table.equals(whole.table)


def test_a_file_holds_the_same_table(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    given = files(tmp_path, records("fraud", 200, 9))
    kept = history(pipeline("fraud"), given)
    written = history(pipeline("fraud"), given, out=tmp_path / "made" / "features.parquet")
    assert written.table is None
    assert written.path is not None
    assert pq.read_table(written.path).equals(kept.table)
    assert [path.name for path in written.path.parent.iterdir()] == ["features.parquet"]


def test_the_table_holds_its_rows_and_nothing_of_the_records_that_gave_none() -> None:
    rows = [row for row in by_topic(records("cards", 200, 3))["payments"] for _ in range(20)]  # 19 of 20 come again
    found = history(pipeline("cards"), {"payments": rows, "chargebacks": []})
    assert found.counters["duplicate"] == len(rows) - found.rows > 10 * found.rows
    assert found.table.get_total_buffer_size() < 10 * found.rows * len(found.table.column_names) + 20 * found.rows


@pytest.mark.parametrize("name", names())
def test_forgetting_texts_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declared, rows = pipeline(name), by_topic(records(name, 400, 4))
    kept = history(declared, rows)
    swept: list[int] = []
    sweep = Symbols.sweep

    def noted(self: Symbols, used: Iterable[Any]) -> None:
        sweep(self, used)
        swept.append(len(self))

    monkeypatch.setattr(Symbols, "sweep", noted)
    monkeypatch.setattr(symbols, "SWEEP", 0)
    monkeypatch.setattr(engine, "TURN", 50)
    found = history(declared, rows)
    assert swept or not any(one.kind == "text" for one in FeatureSession(declared).fields)
    assert [list(map(repr, row.values())) for row in found.table.to_pylist()] == [
        list(map(repr, row.values())) for row in kept.table.to_pylist()
    ]

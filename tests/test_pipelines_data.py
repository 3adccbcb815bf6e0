"""The streams for the twelve pipelines fit their declarations and hold every hazard they speak of."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stream_ml.language.loader import load
from tests.pipelines_data import names, records

FOLDER = Path(__file__).parent / "pipelines"


def declared(name: str) -> dict[str, list[type[BaseModel]]]:
    """Return the classes of a pipeline's file by topic."""
    module = sys.modules[load(FOLDER / f"{name}.py").features.of.__module__]
    classes: dict[str, list[type[BaseModel]]] = defaultdict(list)
    for value in vars(module).values():
        spec: Any = getattr(value, "__stream__", None) if isinstance(value, type) else None
        if spec is not None and issubclass(value, BaseModel):
            classes[spec.topic].append(value)
    return classes


def test_there_is_a_stream_for_each_pipeline() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert set(names()) == files - {"__init__", "churn"}


@pytest.mark.parametrize("name", names())
def test_records_fit_the_declarations(name: str) -> None:
    classes = declared(name)
    rows = records(name, 200, 1)
    assert {topic for topic, _, _ in rows} == set(classes)
    for topic, _, record in rows:
        for cls in classes[topic]:
            cls.model_validate_json(json.dumps(record))


@pytest.mark.parametrize("name", names())
def test_rows_are_by_received_time_and_equal_seeds_give_equal_rows(name: str) -> None:
    rows = records(name, 100, 5)
    assert [received for _, received, _ in rows] == sorted(received for _, received, _ in rows)
    assert rows == records(name, 100, 5)
    assert rows != records(name, 100, 6)
    assert len(rows) >= 100


def test_labels_come_before_twice_never_for_nothing_and_too_late() -> None:
    rows = records("cards", 1_000, 2)
    events: dict[str, int] = {}
    for topic, received, record in rows:
        if topic == "payments":
            events.setdefault(record["payment"], received)
    told_at = [(received, record) for topic, received, record in rows if topic == "chargebacks"]
    labels = [(record["payment"], received, record["fraud"]) for received, record in told_at]
    known = [(name, received - events[name], fraud) for name, received, fraud in labels if name in events]
    week = 7 * 86_400_000
    assert any(wait < 0 for _, wait, _ in known)
    assert any(wait > week for _, wait, _ in known)
    assert any(wait == week for _, wait, _ in known)
    assert any(name not in events for name, _, _ in labels)
    assert len({name for name, _, _ in known}) < len(events)
    told = Counter(name for name, _, _ in known)
    assert max(told.values()) > 1
    assert any(len({fraud for other, _, fraud in known if other == name}) > 1 for name, n in told.items() if n > 1)


def test_events_come_out_of_order_late_and_twice() -> None:
    payments = [(received, record) for topic, received, record in records("cards", 1_000, 2) if topic == "payments"]
    newest, behind = 0, []
    for _, record in payments:
        newest = max(newest, record["at"])
        behind.append(newest - record["at"])
    assert any(0 < lag <= 30_000 for lag in behind)
    assert any(lag > 30_000 for lag in behind)
    assert len({record["payment"] for _, record in payments}) < len(payments)
    moments = [received for received, _ in payments]
    assert len(set(moments)) < len(moments)

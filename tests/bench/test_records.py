"""Made-up records: accepted by every pipeline, labels find their events, files are repeated under fresh ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_ml.bench.copies import copied, topic_of, write_copy
from stream_ml.bench.load import Arrivals, Load, labelled, moments
from stream_ml.bench.records import Records
from stream_ml.errors import UsageError
from stream_ml.language.loader import load as load_pipeline
from stream_ml.language.specs import spec_of
from stream_ml.testing import Driver

PIPELINES = Path(__file__).parent.parent / "pipelines"
NOW = 1_750_000_000_000


def load_of(name: str, **given: Any) -> Load:
    return Load(
        pipeline=str(PIPELINES / f"{name}.py"), name=f"{name}-bench-1", url="sqlite:///x.db", **{"events": 50, **given}
    )


def records_of(load: Load) -> Records:
    return Records(copied(load.pipeline, load.name), load)


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.py")), ids=lambda path: path.stem)
def test_what_is_made_up_is_accepted(path: Path) -> None:
    load = load_of(path.stem)
    records = records_of(load)
    records.check()
    numbers = np.arange(50)
    made = records.events(numbers, np.full(50, NOW))
    assert made.topic == topic_of(load.name, made.topic.removeprefix(f"{load.name}-"))
    assert len(made.values) == len(made.keys) == 50
    assert records.events(numbers, np.full(50, NOW)) == made


def test_labels_name_the_id_and_key_of_their_event() -> None:
    records = records_of(load_of("cards", labels=0.5))
    numbers = records.labelled()
    assert 0 < len(numbers) < 50
    events = records.events(np.arange(50), np.full(50, NOW))
    rows = map(json.loads, events.values)
    by_id = {row["payment"]: (key, row) for key, row in zip(events.keys, rows, strict=True)}
    assert len(by_id) == 50
    labels = records.labels(numbers, np.full(len(numbers), NOW))
    for key, value in zip(labels.keys, labels.values, strict=True):
        label = json.loads(value)
        of_key, event = by_id[label["payment"]]
        assert (label["card"], key) == (event["card"], of_key)


def test_every_label_is_learned() -> None:
    load = load_of("cards", events=40)
    records = records_of(load)
    driver = Driver(copied(load.pipeline, load.name))
    numbers = np.arange(40)
    for made in (records.events(numbers, np.full(40, NOW)), records.labels(records.labelled(), np.full(40, NOW))):
        for value in made.values:
            driver.send(made.topic, json.loads(value))
    assert len(driver.examples()) == 40


def test_keys_are_as_many_as_asked() -> None:
    records = records_of(load_of("cards", events=2_000, keys=7))
    assert len(set(records.events(np.arange(2_000), np.full(2_000, NOW)).keys)) == 7


def test_records_of_files_are_repeated_with_fresh_ids_and_times(tmp_path: Path) -> None:
    payments, labels = tmp_path / "payments.ndjson", tmp_path / "chargebacks.ndjson"
    one = {"payment": "p1", "card": "c9", "terminal": "t1", "amount": 3.5, "at": 1, "extra": "kept"}
    two = {**one, "payment": "p2", "card": "c8"}
    payments.write_text("\n".join(map(json.dumps, (one, two))) + "\n", encoding="utf-8")
    labels.write_text(json.dumps({"payment": "p2", "card": "c8", "fraud": True}) + "\n", encoding="utf-8")
    records = records_of(load_of("cards", events=4, data={"payments": str(payments), "chargebacks": str(labels)}))
    made = [json.loads(value) for value in records.events(np.arange(4), np.arange(4) + NOW).values]
    assert [(row["payment"], row["card"], row["at"] - NOW, row["extra"]) for row in made] == [
        ("b000000000", "c9", 0, "kept"), ("b000000001", "c8", 1, "kept"),
        ("b000000002", "c9", 2, "kept"), ("b000000003", "c8", 3, "kept"),
    ]  # fmt: skip
    assert records.labelled().tolist() == [1, 3]
    told = [json.loads(value) for value in records.labels(np.array([1, 3]), np.full(2, NOW)).values]
    assert told == [
        {"payment": "b000000001", "card": "c8", "fraud": True},
        {"payment": "b000000003", "card": "c8", "fraud": True},
    ]


def test_a_file_of_a_topic_that_is_not_read_is_refused() -> None:
    with pytest.raises(UsageError, match=r"reads no topic orders\. It reads chargebacks, payments"):
        records_of(load_of("cards", data={"orders": "x.ndjson"}))


def test_a_copy_has_a_name_and_topics_of_its_own(tmp_path: Path) -> None:
    file = write_copy(PIPELINES / "cards.py", "cards-bench-2", tmp_path)
    pipeline = load_pipeline(file)
    assert pipeline.name == "cards-bench-2"
    spec = spec_of(pipeline.event)
    assert spec is not None
    assert spec.topic == "cards-bench-2-payments"
    original = spec_of(load_pipeline(PIPELINES / "cards.py").event)
    assert original is not None
    assert original.topic == "payments"


def test_the_schedule_is_fixed_by_the_load() -> None:
    for arrivals in Arrivals:
        load = load_of("cards", events=1_000, rate=100.0, arrivals=arrivals)
        at = moments(load)
        assert at.tolist() == moments(load).tolist()
        assert (np.diff(at) >= 0).all()
        assert at[0] == 0.0
        assert 7.0 < at[-1] < 13.0
    assert 150 < labelled(load_of("cards", events=1_000, labels=0.2)).sum() < 250

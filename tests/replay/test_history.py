"""What a history run says of files that are not what they should be, and of calls that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream_ml.engines.replay.table import history
from stream_ml.errors import InputError, StorageError, UsageError
from tests.cli.test_log_commands import ran, said
from tests.pipelines_data import records
from tests.replay.histories import FOLDER, by_topic, pipeline

AT = 1_704_067_200_000


def payments(path: Path, **changed: Any) -> Path:
    columns = {
        "payment": [f"p{i}" for i in range(200)], "card": [f"c{i % 7}" for i in range(200)], "terminal": ["t"] * 200,
        "amount": [float(i) for i in range(200)], "at": [AT + 1000 * i for i in range(200)],
    }  # fmt: skip
    whole = {name: column for name, column in {**columns, **changed}.items() if column is not None}
    pq.write_table(pa.table(whole), path / "payments.parquet")
    return path / "payments.parquet"


def given(path: Path) -> dict[str, Any]:
    return {"payments": path, "chargebacks": []}


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = payments(tmp_path, card=None)
    with pytest.raises(InputError, match="has no column card") as told:
        history(pipeline("cards"), given(path))
    assert str(path) in str(told.value)
    assert "payment, terminal, amount, at" in str(told.value)


def test_a_column_of_another_type_is_refused_with_file_row_and_cure(tmp_path: Path) -> None:
    path = payments(tmp_path, card=list(range(200)))
    with pytest.raises(InputError) as told:
        history(pipeline("cards"), given(path))
    assert str(told.value).startswith(f"no row of {path} can be read; row 1, $.card: expected text, got 0")
    assert "Write the column in the type" in str(told.value)


def test_rows_without_a_key_are_left_out_and_named(tmp_path: Path) -> None:
    cards = [None if i in {2, 150} else f"c{i % 7}" for i in range(200)]
    amounts = [-1.0 if i == 9 else float(i) for i in range(200)]
    path = payments(tmp_path, card=cards, amount=amounts)
    done = history(pipeline("cards"), given(path))
    assert done.rows == done.table.num_rows == 197
    assert done.counters["refused"] == {"null_key": 2, "constraint": 1}
    assert [(one.source, one.row, one.path) for one in done.refused] == [
        (str(path), 3, "$.card"), (str(path), 10, "$.amount"), (str(path), 151, "$.card"),
    ]  # fmt: skip
    assert done.warnings == (
        f"3 of 200 records are refused as they would be live, first {path}, row 3, $.card: a key must not be null. "
        "Fill the key in, or leave such rows out.",
    )


def test_the_file_and_its_row_are_named_where_a_topic_has_several(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = payments(tmp_path / "a")
    later = [AT + 1000 * i + 500 for i in range(200)]
    cards = [None if i == 40 else "c" for i in range(200)]
    second = payments(tmp_path / "b", payment=[f"q{i}" for i in range(200)], card=cards, at=later)
    done = history(pipeline("cards"), {"payments": [first, second], "chargebacks": []})
    assert done.rows == 399
    assert [(one.source, one.row) for one in done.refused] == [(str(second), 41)]


def test_a_record_dated_ahead_is_refused(tmp_path: Path) -> None:
    received = [AT + 1000 * i for i in range(200)]
    moments = [AT + 1000 * i + (10**9 if i == 5 else 0) for i in range(200)]
    done = history(pipeline("cards"), given(payments(tmp_path, at=moments, received=received)))
    assert done.rows == 199
    assert [(one.row, one.reason, one.path) for one in done.refused] == [(6, "ahead", "$.at")]


def test_labels_that_feed_windows_must_be_there(tmp_path: Path) -> None:
    path = payments(tmp_path)
    with pytest.raises(UsageError, match="windows of its labels, and no history of chargebacks is given"):
        history(pipeline("cards"), {"payments": path})
    with pytest.raises(UsageError, match="no history of it is given"):
        history(pipeline("cards"), {"chargebacks": []})
    with pytest.raises(UsageError, match="which the pipeline does not read"):
        history(pipeline("cards"), {**given(path), "refunds": path})


def test_a_damaged_file_leaves_no_half_table(tmp_path: Path) -> None:
    path = payments(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="no readable Parquet file"):
        history(pipeline("cards"), given(path), out=tmp_path / "out" / "features.parquet")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    (tmp_path / "plain").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        history(pipeline("cards"), given(payments(tmp_path)), out=tmp_path / "plain" / "features.parquet")


def test_the_command_writes_a_parquet_file(tmp_path: Path) -> None:
    for topic, many in by_topic(records("cards", 200, 3)).items():
        whole = {name: [record.get(name) for record in many] for name in many[0]}
        pq.write_table(pa.table(whole), tmp_path / f"{topic}.parquet")
    files = ["payments=payments.parquet", "chargebacks=chargebacks.parquet"]
    typed = ["replay", str(FOLDER / "cards.py"), *files, "--only", "features"]
    told = json.loads(said(ran(*typed, "--out", "features.parquet", "--json", cwd=tmp_path)))
    found = pq.read_table(tmp_path / "features.parquet")
    assert told["rows"] == found.num_rows > 150
    assert found.column_names[:4] == ["payment", "card", "at", "amount"]
    refused = ran(*typed, cwd=tmp_path)
    assert refused.returncode == 2
    assert b"--only features writes one Parquet file" in refused.stderr

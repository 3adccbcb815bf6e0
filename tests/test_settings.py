"""The file of settings: what stands in it counts, what no setting is called is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_ml.config.kafka import read_kafka_settings
from stream_ml.config.settings import read_settings
from stream_ml.errors import UsageError


def test_the_table_of_kafka_stands_beside_the_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream-ml.toml").write_text("batch = 50\n[kafka]\npartitions = 4\n")
    assert read_settings().batch == 50
    assert read_kafka_settings().partitions == 4


def test_a_table_that_nobody_reads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream-ml.toml").write_text("[kafak]\npartitions = 4\n")
    with pytest.raises(UsageError, match="'kafak', which is no setting"):
        read_settings()

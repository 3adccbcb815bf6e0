"""The cards demo runs, and its files hold what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_ml.demos import cards_demo


def test_the_demo_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = cards_demo.run(json=True, folder=tmp_path, payments=15_000)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found))
    assert len(Path(found["files"]["predictions"]).read_bytes().splitlines()) == found["predictions"] > 14_900
    assert found["quality"]["roc_auc"] > 0.7
    assert Path(found["files"]["picture"]).read_bytes()[1:4] == b"PNG"


def test_the_demo_speaks_to_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cards_demo.run(folder=tmp_path, payments=2_000)
    said = capsys.readouterr().out
    assert "2,000 predictions" in said
    assert "stream-ml demo flights" in said

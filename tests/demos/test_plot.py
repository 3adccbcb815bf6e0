"""The picture of quality: written with matplotlib, refused clearly without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stream_ml.demos.plot import Line, draw
from stream_ml.errors import UsageError

HOURS = [1_357_000_000_000 + hour * 3_600_000 for hour in range(100)]


def test_picture_is_written_into_a_new_folder(tmp_path: Path) -> None:
    quality = [0.7 + 0.0003 * hour for hour in range(100)]
    panels = {"ROC AUC": [Line("last 10,000", HOURS, quality)], "log loss": [Line("last 10,000", HOURS, quality)]}
    path = draw(tmp_path / "out" / "quality.png", "flights", panels, HOURS[::40])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_without_matplotlib_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError) as caught:
        draw(tmp_path / "quality.png", "flights", {"ROC AUC": []})
    assert str(caught.value) == (
        "matplotlib is not installed, so there is no picture. Install it with: pip install 'stream-ml[plots]'"
    )

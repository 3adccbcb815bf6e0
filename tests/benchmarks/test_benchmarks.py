"""The benchmarks' own parts: the page is what the results say, differences are differences, wrong answers end a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.__main__ import NAMES, together
from benchmarks.__main__ import main as benchmarks
from benchmarks.cards import largest, same_features
from benchmarks.command import check, spread
from benchmarks.differences import largest_difference
from benchmarks.follow import benchmark as follow
from benchmarks.history import same
from benchmarks.keys import EVENTS, START_MS, events
from benchmarks.models import CASES, measured
from benchmarks.side_by_side import RESULTS
from stream_ml.kernels.jit import warm


def test_the_page_is_what_the_results_say() -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.page()


def test_every_benchmark_has_a_section_and_a_result() -> None:
    assert set(report.SECTIONS) == set(NAMES)
    assert {path.stem for path in RESULTS.glob("*.json")} == set(NAMES)


def test_the_engine_with_exact_windows_serves_what_is_computed_by_hand() -> None:
    same = same_features(1_500)
    assert same["payments"] == 1_500
    assert same["largest_feature_difference"] < 1e-12
    assert same["largest_score_difference"] < 1e-12


def test_a_history_has_the_features_that_duckdb_and_polars_compute() -> None:
    found = same(1_500)
    for name in ("DuckDB", "Polars"):
        assert found[name]["compared"] > 1_400
        assert found[name]["largest_difference"] < 1e-12


def test_a_feature_that_one_side_lacks_is_infinitely_far() -> None:
    assert largest({"a": 1.0, "b": None}, {"a": 1.5}) == pytest.approx(1 / 3)
    assert largest({"a": 1.0}, {"a": 1.0, "b": 2.0}) == float("inf")


def test_a_nan_on_one_side_only_is_wrong() -> None:
    with pytest.raises(RuntimeError, match="NaN"):
        largest_difference(np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_a_compiled_model_is_measured_and_compared() -> None:
    warm()
    found = measured(CASES[0], 200, 1)
    assert found["largest_difference"] < 1e-12
    assert found["records"] == 200
    assert found["ratio"] > 1


def test_every_key_comes_once_a_round_and_time_rises() -> None:
    seen = [value for values in events(100) for value in values]
    assert len(seen) == 100 * EVENTS
    assert all(len({value[9:17] for value in seen[start : start + 100]}) == 100 for start in range(0, len(seen), 100))
    times = [int(value.rpartition(b":")[2][:-1]) for value in seen]
    assert times == sorted(times)
    assert times[0] == START_MS


def test_spread_and_check() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "range": [1.0, 3.0]}
    assert spread([1.0, 2.0]) == {"median": 1.5, "range": [1.0, 2.0]}
    check(holds=True, what="nothing")
    with pytest.raises(RuntimeError, match="wrong: that"):
        check(holds=False, what="that")


@pytest.mark.slow
def test_the_quickest_benchmarks_run_as_one_would_run_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setattr("sys.argv", ["benchmarks", "local", "models", "--quick"])
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in [*RESULTS.iterdir(), report.PAGE]}
    benchmarks()
    place = tmp_path / "out" / "bench"
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in place.glob("*.json")}
    page = (place / "page.md").read_text(encoding="utf-8")
    assert f"{found['local']['produce']['records_per_second']:,} records/s" in page
    assert "Not measured yet: `python -m benchmarks peers`" in page
    assert set(found) == {"local", "models"}
    assert found["local"]["programs"]["stream-ml run"]["payments_per_second"]["median"] > 0
    assert found["models"]["largest_difference"] < 1e-12
    assert {path: path.stat().st_mtime_ns for path in [*RESULTS.iterdir(), report.PAGE]} == before


@pytest.mark.slow
def test_of_quick_benchmarks_one_that_fails_is_told_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"failed: nothing$"):
        together(["nothing", "equality"])
    told = capsys.readouterr().out
    assert "nothing ended with 1" in told
    assert "cannot import name 'nothing'" in told
    assert [path.name for path in (tmp_path / "out" / "bench").iterdir()] == ["equality.json"]


@pytest.mark.slow
def test_the_live_edge_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_ML_SCRATCH", str(tmp_path))
    found = follow(True)
    assert 0 < found["commit_to_prediction_ms"]["p50"] <= found["commit_to_prediction_ms"]["max"]
    assert list(tmp_path.iterdir()) == []

"""The harness: medians with ranges, and no figure from a program that fails or changes its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.side_by_side import machine, measure, ratio


def program(tmp_path: Path, name: str, *, rate: int, cpu: float, answer: str = "7") -> list[str]:
    """Return a program that prints fixed figures; `answer` is an expression, with `os` at hand."""
    path = tmp_path / f"{name}.py"
    times = f'"seconds": 1.0, "cpu_us_per_payment": {cpu}, "payments_per_second": {rate}'
    path.write_text(f"import json, os\nprint(json.dumps({{{times}, 'answer': {answer}}}))\n")
    return [str(path)]


def test_medians_ranges_and_ratio(tmp_path: Path) -> None:
    programs = {
        "ours": program(tmp_path, "ours", rate=100_000, cpu=5.0),
        "theirs": program(tmp_path, "theirs", rate=20_000, cpu=50.0),
    }
    found = measure(programs, rounds=2)
    assert found["ours"]["payments_per_second"] == {"median": 100_000, "range": [100_000, 100_000]}
    assert found["ours"]["answer"] == 7
    assert ratio(found, "ours", "theirs") == {"of": "ours to theirs", "by_wall_time": 5.0, "by_cpu_time": 10.0}


def test_an_answer_that_changes_from_round_to_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="answered differently"):
        measure({"odd": program(tmp_path, "odd", rate=1, cpu=1.0, answer="os.getpid()")}, rounds=2)


def test_a_program_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)broken ended with 1: .*ZeroDivisionError"):
        measure({"broken": program(tmp_path, "broken", rate=1, cpu=1.0, answer="1 / 0")}, rounds=1)


def test_machine_names_versions_but_no_place() -> None:
    said = machine()
    assert {"processor", "cores", "python", "versions", "commit"} <= set(said)
    assert "river" in said["versions"]
    assert str(Path.home()) not in str(said)

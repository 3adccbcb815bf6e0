"""The kernel cache: a changed helper is noticed, and an installation that nobody may write to still runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import stream_ml
from stream_ml.kernels import cache

PACKAGE = Path(stream_ml.__file__).parent
PROGRAM = """
import numpy as np
from stream_ml.kernels import cache, stamps
out = np.zeros(1)
stamps.stamps(np.frombuffer(bytearray(b"2026-01-01T00:00:00Z"), np.uint8), out)
print(int(out[0]), cache.install(), sum(1 for _ in cache.install().glob("stamps*.nbc")))
"""


def copied(folder: Path) -> Path:
    """Copy what the kernels need: the package's root and the kernels themselves."""
    package = folder / "stream_ml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    ignored = shutil.ignore_patterns("__kernels__", "__pycache__")
    shutil.copytree(PACKAGE / "kernels", package / "kernels", ignore=ignored)
    return package / "kernels"


def ran(folder: Path, program: str = PROGRAM, **environment: str) -> tuple[int, Path, int]:
    """Run the program on a copy; returns what it computed, its cache folder, and the machine code kept there."""
    kept = {name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME"}}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "PYTHONPATH": str(folder), "NUMBA_DISABLE_JIT": "0", **environment},
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    value, where, files = done.stdout.split()
    return int(value), Path(where), int(files)


@pytest.mark.slow
def test_a_helper_changed_in_another_kernel_file_is_noticed(tmp_path: Path) -> None:
    kernels = copied(tmp_path)
    before, first, kept = ran(tmp_path)
    assert before == 1_767_225_600_000
    assert kept > 0
    helper = kernels / "algebra.py"
    helper.write_text(helper.read_text() + "\n# changed\n")
    after, second, _ = ran(tmp_path)
    assert after == before
    assert second != first, "another version of any kernel file must have another folder"


@pytest.mark.slow
def test_the_same_sources_use_the_same_machine_code_again(tmp_path: Path) -> None:
    copied(tmp_path)
    assert ran(tmp_path) == ran(tmp_path)


def test_folders_are_tried_in_order_and_one_that_cannot_be_written_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barred = tmp_path / "barred"
    barred.write_text("a file where a folder should be")
    monkeypatch.setattr(cache, "FOLDER", barred / "kernels")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("STREAM_ML_KERNEL_CACHE", str(barred / "named"))
    found = cache.folder_of("0" * 20)
    assert found.parent.parent == Path(tempfile.gettempdir())
    assert found.is_dir()


@pytest.mark.slow
def test_a_read_only_installation_without_a_home_runs(tmp_path: Path) -> None:
    """A file stands where the cache folder would be made: nobody, root included, can write there."""
    kernels = copied(tmp_path)
    (kernels / "__kernels__").write_text("")
    value, where, kept = ran(tmp_path, TMPDIR=str(tmp_path / "elsewhere"))
    assert value == 1_767_225_600_000
    assert kernels not in where.parents
    assert kept > 0


@pytest.mark.slow
def test_a_kernel_from_the_cache_loads_nothing_that_only_a_compiler_needs(tmp_path: Path) -> None:
    copied(tmp_path)
    ran(tmp_path)
    program = PROGRAM.replace("print(", "import sys; assert 'numba.np.linalg' not in sys.modules; print(")
    value, _, kept = ran(tmp_path, program=program)
    assert value == 1_767_225_600_000
    assert kept > 0

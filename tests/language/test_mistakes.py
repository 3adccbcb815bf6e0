"""Every mistake is refused with file, line, cause and cure; the whole messages are in `golden/`."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

from stream_ml.errors import DeclarationError
from stream_ml.language.loader import load
from tests.language.mistakes import MISTAKES, OF_LOADER, PREAMBLE, SEEN_BY_MYPY

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent.parent
FIRST = PREAMBLE.count("\n") + 1


def written(name: str, folder: Path) -> Path:
    """Write the file with one mistake."""
    path = folder / "mistake.py"
    path.write_text(PREAMBLE + MISTAKES[name])
    return path


def normal(text: str, folder: Path) -> str:
    return text.replace(f"{folder}{os.sep}", "") + "\n"


@pytest.mark.parametrize("name", MISTAKES)
def test_refusal(name: str, tmp_path: Path) -> None:
    """The loader's message is the golden one, and its place lies within the mistake."""
    path = written(name, tmp_path)
    with pytest.raises(DeclarationError) as caught:
        load(path)
    error = caught.value
    assert normal(str(error), tmp_path) == (GOLDEN / f"{name}.txt").read_text()
    assert error.cure.endswith((".", "?"))
    if name != "no_pipeline":
        assert error.place is not None
        assert error.place.file == str(path)
        assert FIRST <= error.place.line <= FIRST + MISTAKES[name].count("\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MISTAKES) - OF_LOADER))
def test_plain_python(name: str, tmp_path: Path) -> None:
    """Run as plain Python the file fails with the same message."""
    with pytest.raises(DeclarationError) as caught:
        runpy.run_path(str(written(name, tmp_path)), run_name="__main__")
    said = normal(str(caught.value), tmp_path)
    golden = (GOLDEN / f"{name}.txt").read_text()
    assert said == golden if caught.value.place else golden.endswith(said)


@pytest.mark.slow
def test_command_line(tmp_path: Path) -> None:
    """The last line of the traceback is the message."""
    path = written("mixed", tmp_path)
    done = subprocess.run([sys.executable, str(path)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1].removeprefix("stream_ml.errors.DeclarationError: ")
    assert normal(last, tmp_path) == (GOLDEN / "mixed.txt").read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(MISTAKES)


@pytest.mark.slow
def test_type_checker(tmp_path: Path) -> None:
    """Type checkers see the mistakes they are said to see, in the editor."""
    for name in SEEN_BY_MYPY:
        (tmp_path / f"{name}.py").write_text(PREAMBLE + MISTAKES[name])
    out, _, _ = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), *map(str, tmp_path.glob("*.py"))])
    told = [line.split(":") for line in out.splitlines() if ": error:" in line]
    seen = {Path(parts[0]).stem for parts in told if int(parts[1]) >= FIRST}
    assert seen == SEEN_BY_MYPY, out
    assert not [parts for parts in told if int(parts[1]) < FIRST], out

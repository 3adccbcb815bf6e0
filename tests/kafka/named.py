"""Pipelines under names of a test's own, so that tests share a broker."""

from __future__ import annotations

import re
from pathlib import Path

from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline

PIPELINES = Path(__file__).parent.parent / "pipelines"


def named(name: str | Path, prefix: str, folder: Path) -> tuple[Pipeline, Path]:
    """Load one of the user pipelines with the prefix before its name and its topics; also returns its file."""
    source = PIPELINES / f"{name}.py" if isinstance(name, str) else name
    text = source.read_text(encoding="utf-8")
    text = re.sub(r'topic="(\w+)"', rf'topic="{prefix}\1"', text)
    text, found = re.subn(r'(Pipeline\(\s*)"(\w+)"', rf'\1"{prefix.replace(".", "-")}\2"', text)
    assert found == 1
    path = folder / source.name
    path.write_text(text, encoding="utf-8")
    return load(path), path

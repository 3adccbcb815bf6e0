"""A copy of a user's pipeline under a name of its own, whose topics are nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import compile_plan

_FILE = '''"""A copy of a pipeline, made for a measurement."""

from stream_ml.bench.copies import copied

pipeline = copied({path!r}, {name!r})
'''


def copied(path: str, name: str) -> Pipeline:
    """Load a pipeline and rename it and every topic that it reads.

    Parameters
    ----------
    path
        The user's file.
    name
        What the copy is called; `name-topic` takes the place of each topic.

    Raises
    ------
    DeclarationError
        The file holds no pipeline.
    """
    pipeline = load(path)
    for model in {stream.model for stream in compile_plan(pipeline).scorer.streams}:
        declared: Any = model
        declared.__stream__ = replace(declared.__stream__, topic=topic_of(name, declared.__stream__.topic))
    pipeline.name = name
    return pipeline


def topic_of(name: str, topic: str) -> str:
    """Return what a topic of the user is called in a copy.

    Examples
    --------
    >>> topic_of("cards-bench-1f", "payments")
    'cards-bench-1f-payments'
    """
    return f"{name}-{topic}"


def write_copy(path: Path, name: str, folder: Path) -> Path:
    """Write a file that `stream-ml run` takes for the copy's pipeline."""
    file = folder / "bench_copy.py"
    file.write_text(_FILE.format(path=str(path.resolve()), name=name), encoding="utf-8")
    return file

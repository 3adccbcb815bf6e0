"""How much the tests try: everything, or a share of it in `make core`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest

#: Of every number of generated examples; CI and `make test` try all.
PERCENT: Final = int(os.environ.get("STREAM_ML_TEST_PERCENT", "100"))
#: The pipelines of users and of the laws. On those that are not among the quick ones, tests of one are `slow`.
PIPELINES: Final = frozenset(
    path.stem for folder in ("pipelines", "pipelines_law") for path in (Path(__file__).parent / folder).glob("*.py")
)
QUICK: Final = frozenset({"cards", "returns", "tiles"})


def examples(number: int) -> int:
    """Return how many examples are tried where `number` are to be tried."""
    return max(1, number * PERCENT // 100)


def slow(*values: object) -> list[Any]:
    """Return values of a parameter with which a test is slow."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]

"""Nexmark's q5, q11, q12 and q17 over bids, as features of each bid, drained by the worker from Kafka.

Every answer is compared with plain Python over the same bids before speed counts. About two and a half minutes.

    python -m benchmarks nexmark [--quick]
"""

from __future__ import annotations

from typing import Any


def benchmark(quick: bool) -> dict[str, Any]:
    """Measure the four queries in turn."""
    from benchmarks.nexmark.runner import measured  # noqa: PLC0415 - the pipelines beside it need nothing of that

    return measured(quick)

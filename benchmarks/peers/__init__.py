"""What people would use instead: aiokafka, Faust, Quix Streams and Bytewax, each with river, beside the worker.

`make peers-env` makes the environment that they run in; `python -m benchmarks peers [--quick]` measures.
"""

from __future__ import annotations

from typing import Any


def benchmark(quick: bool) -> dict[str, Any]:
    """Measure the worker, the pass-through and the peers in turn."""
    from benchmarks.peers.runner import measured  # noqa: PLC0415 - the peers' own environment has not what it needs

    return measured(quick)

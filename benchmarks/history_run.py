"""One program of the history benchmark: cards features from Parquet into an Arrow table.

python -m benchmarks.history_run tiles|exact|duckdb|polars FOLDER CORES
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import Found

Program = Callable[[], Any]


def program(name: str, folder: Path, cores: int) -> Program:
    """Return a program, everything that it needs imported and compiled."""
    from benchmarks.history_peers import with_duckdb, with_polars  # noqa: PLC0415 - after the cores were chosen

    if name == "duckdb":
        import duckdb  # noqa: F401, PLC0415

        return lambda: with_duckdb(folder, cores)
    if name == "polars":
        import polars  # noqa: F401, PLC0415
        import pyarrow  # noqa: PLC0415

        return lambda: with_polars(folder)
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    from benchmarks import cards_exact  # noqa: PLC0415
    from stream_ml.demos import cards  # noqa: PLC0415
    from stream_ml.engines.replay import history  # noqa: PLC0415
    from stream_ml.kernels.jit import warm  # noqa: PLC0415

    pa.set_cpu_count(cores)
    warm()
    pipeline = cards_exact.pipeline if name == "exact" else cards.pipeline
    files = {topic: folder / f"{topic}.parquet" for topic in ("payments", "chargebacks")}
    return lambda: history(pipeline, files).table


def run(name: str, folder: Path, cores: int) -> Found:
    """Run a program once and return what was measured, from the call to the table."""
    if cores == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    ready = program(name, folder, cores)
    wall, cpu = time.perf_counter(), time.process_time()
    table = ready()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = table.num_rows
    return {
        "payments": rows,
        "columns": table.num_columns,
        "seconds": round(wall, 3),
        "cpu_us_per_payment": round(cpu / rows * 1e6, 3),
        "payments_per_second": round(rows / wall),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))

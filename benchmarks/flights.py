"""A year of flights out of New York replayed, beside river alone on the features that the engine computed.

The engine does all of it: reads both streams from NDJSON, computes features and windows, joins arrivals hours later,
predicts and learns in the order of arrival, keeps metrics by carrier and origin and ADWIN, and
writes predictions, examples, alarms and metrics. River is given its features for nothing, decoded, and predicts and
learns the same at the same moments: no program around that model can be faster. In turn; the scores are compared.

    python -m benchmarks flights [--quick]
"""

from __future__ import annotations

import copy
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.command import Found, check, main, scratch
from benchmarks.differences import largest_difference
from benchmarks.side_by_side import measure, ratio
from stream_ml.demos import flights_data
from stream_ml.demos.flights import pipeline
from stream_ml.engines.replay import replay
from stream_ml.kernels.jit import warm
from stream_ml.model.fallback import ordered

ENGINE, RIVER = "stream_ml replay, all of it", "river, given the features"
SCORES = 1e-12

Asked = tuple[dict[str, Any], int]
Lesson = tuple[dict[str, Any], bool]


def benchmark(quick: bool) -> Found:
    """Measure both in turn and compare their scores."""
    with scratch() as folder:
        history = flights_data.write(folder)
        if quick:
            for path in history.values():
                path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3_000]))
        served = replay(pipeline, history, out=folder / "served", features=True).counters["predicted"]
        programs = {
            name: ("-m", "benchmarks.flights", which, str(folder))
            for name, which in ((ENGINE, "engine"), (RIVER, "river"))
        }
        found = measure(programs, 1 if quick else 3)
        ours, theirs = (np.load(folder / f"{which}.npy") for which in ("engine", "river"))
    apart = largest_difference(ours, theirs)
    check(holds=len(ours) == len(theirs) == served, what=f"{len(ours)}, {len(theirs)} and {served} predictions")
    check(holds=apart <= SCORES, what=f"scores differ by {apart}")
    return {
        "workload": f"{served:,} flights, those of a year unless it is quick, and their arrivals from NDJSON, one core",
        "programs": found,
        "ratio": ratio(found, ENGINE, RIVER),
        "largest_score_difference": apart,
    }


def engine(folder: Path) -> tuple[Found, Any]:
    """Replay the year; returns what was measured, and the scores."""
    warm()
    history = {name: folder / f"{name}.ndjson" for name in ("flights", "arrivals")}
    found, done = timed(lambda: replay(pipeline, history, out=folder / "out"), lambda one: one.counters["predicted"])
    lines = done.files["predictions"].read_bytes().splitlines()
    told = {"learned": done.counters["examples"], "roc_auc": done.metric("roc_auc"), "alarms": done.counters["alarms"]}
    return {**found, **told}, [orjson.loads(line)["score"] for line in lines]


def river(folder: Path) -> tuple[Found, Any]:
    """Predict and learn what was served, at the same moments; returns what was measured, and the scores."""
    rows, lessons = served_rows(folder / "served")
    gc.collect()
    gc.freeze()
    found, scores = timed(lambda: river_scores(rows, lessons), len)
    return {**found, "learned": rows[-1][1]}, scores


def served_rows(folder: Path) -> tuple[list[Asked], list[Lesson]]:
    """Read what was served: features and the examples learned by then, and what the examples teach."""
    asked, told = (
        [orjson.loads(line) for line in (folder / f"{kind}.ndjson").read_bytes().splitlines()]
        for kind in ("predictions", "examples")
    )
    rows = [(present(one["features"]), one["version"][1]) for one in asked]
    return rows, [(present(one["features"]), bool(one["target"])) for one in told]


def river_scores(rows: list[Asked], lessons: list[Lesson]) -> list[float]:
    """Let river predict from the features served, and learn the examples at the same moments."""
    model = ordered(copy.deepcopy(pipeline.model))
    scores, learned = [], 0
    for x, version in rows:
        while learned < version:
            model.learn_one(*lessons[learned])
            learned += 1
        scores.append(model.predict_proba_one(x)[True])
    return scores


def present(features: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is missing."""
    return {name: value for name, value in features.items() if value is not None}


def timed(call: Callable[[], Any], count: Callable[[Any], int]) -> tuple[Found, Any]:
    """Return what a call took, a flight, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    flights = count(done)
    return {
        "flights": flights,
        "seconds": round(wall, 3),
        "cpu_us_per_payment": round(cpu / flights * 1e6, 2),
        "payments_per_second": round(flights / wall),
    }, done


def section(found: Found, table: Callable[..., list[str]], told: Callable[[Any], str]) -> list[str]:
    """Return the lines of the page."""
    rows = [
        [name, told(one["payments_per_second"]), told(one["cpu_us_per_payment"]), f"{one['learned']:,}"]
        for name, one in found["programs"].items()
    ]
    share = found["ratio"]
    ours = found["programs"][ENGINE]
    return [
        *table(["", "flights/s", "CPU us a flight", "learned before the last prediction, or in all"], rows), "",
        f"Ratio: {share['by_wall_time']} by wall time, {share['by_cpu_time']} by CPU time, although river is given the "
        "features, decoded, and keeps no metrics, joins nothing and writes nothing. Scores differ by "
        f"{found['largest_score_difference']:.1e} at most. ROC AUC {ours['roc_auc']:.4f}, {ours['alarms']} alarms.",
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] in (["engine"], ["river"]):
        answer, answered = (engine if sys.argv[1] == "engine" else river)(Path(sys.argv[2]))
        np.save(Path(sys.argv[2]) / f"{sys.argv[1]}.npy", np.array(answered, np.float64))
        print(json.dumps(answer))
    else:
        main("flights", benchmark, __doc__)

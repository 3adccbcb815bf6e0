"""A run like ShuffleBench's: records of 1 KiB by key → count, sum, first and last time stamp → emitted; then a model.

ShuffleBench (Henning et al., ICPE 2024) matches records without keys against many consumers and emits one of ten
matches; our language has no such fan-out, so here each record has its key and each is answered. Twice: features only
(`model=None`), and with a model that predicts and then learns what the record says of itself. The worker writes an
example for each record besides; the peers write their answers only.

    python -m benchmarks shuffle [--quick]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.command import Found, check, main, scratch
from benchmarks.differences import largest_difference
from benchmarks.kafka import WORKER
from benchmarks.peers.backlog import Stream, read_back
from benchmarks.peers.drains import PEERS, Check, Start, in_place, in_turn, peers_versions, ratios, summary
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import QUICK, Broker
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options

HERE = Path(__file__).parent
JOBS = {"shuffle": HERE / "shuffle_pipeline.py", "shuffle_learning": HERE / "shuffle_learning.py"}
SIZE, KEYS, START_MS = 1_024, 1_000, 1_735_689_600_000
BOUND = 1e-9


def benchmark(quick: bool) -> Found:
    """Measure both jobs on a broker of our own, stopped in the end."""
    versions = peers_versions()
    records, rounds = (2_000, 1) if quick else (120_000, 5)
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else ()) as broker:
        jobs = {}
        for job, source in list(JOBS.items())[quick:]:
            jobs[job] = measured(broker, make_records(folder, records, source), job, rounds)
    return {
        "workload": f"{records:,} records of {SIZE:,} bytes, {KEYS:,} keys after Zipf, one partition, one broker",
        "rounds": rounds,
        "peers": versions,
        "jobs": jobs,
    }


def make_records(folder: Path, records: int, source: Path) -> Stream:
    """Make records a millisecond apart, a few keys with most of them."""
    draw = np.random.default_rng(7)
    shares = 1.0 / np.arange(1, KEYS + 1)
    keys = draw.choice(KEYS, records, p=shares / shares.sum())
    values = np.round(draw.exponential(10.0, records), 3)
    hot = values + keys % 7 > 12.0
    rows = []
    for n, (key, value, is_hot) in enumerate(zip(keys.tolist(), values.tolist(), hot.tolist(), strict=True)):
        at = START_MS + n
        row = {"id": f"r{n:08d}", "consumer": f"c{key:05d}", "value": value, "at": at, "stamp": float(at)}
        text = orjson.dumps(row | {"hot": is_hot, "payload": ""})
        rows.append((row["consumer"].encode(), text[:-2] + b"x" * (SIZE - len(text)) + text[-2:], at))
    path = folder / "records.ndjson"
    path.write_bytes(b"".join(value + b"\n" for _, value, _ in rows))
    return Stream(records, {"records": path}, {"records": rows}, source)


def measured(broker: Broker, stream: Stream, job: str, rounds: int) -> Found:
    """Drain with the worker and every peer in turn."""
    right = checked(stream, job)
    programs: dict[str, tuple[Start, Check]] = {
        WORKER: (Subject().start, right),
        **{name: (in_place(peer, stream.events, job=job, topics=("records",)), right) for name, peer in PEERS.items()},
    }
    runs = in_turn(broker, stream, rounds, programs)
    return {
        "programs": {name: summary(ones) for name, ones in runs.items()},
        "ratios": {name: ratios(runs[WORKER], runs[name], 0.0) for name in PEERS},
    }


def checked(stream: Stream, job: str) -> Check:
    """Return a check against a replay: the same answers in the same order."""
    with_scores = job == "shuffle_learning"
    done = replay(stream.source, stream.files, received={"records": "at"}, options=Options(collect=True))
    ours, ids = numbers(done.outputs["predictions"], with_scores=with_scores)

    def right(servers: str, name: str) -> tuple[NDArray[np.int64], Found]:
        values, stamps = read_back(servers, f"{name}.predictions")
        theirs, their_ids = numbers(values, with_scores=with_scores)
        check(holds=their_ids == ids and len(set(ids)) == stream.events, what=f"{len(their_ids)} answers")
        apart = largest_difference(theirs.ravel(), ours.ravel())
        check(holds=apart <= BOUND, what=f"answers differ by {apart}")
        return np.sort(np.array(stamps, np.int64)), {"answers": len(ids), "largest_difference": apart}

    return right


def numbers(predictions: list[bytes], *, with_scores: bool) -> tuple[NDArray[np.float64], list[str]]:
    """Return the answers [n, 1 or 4] and their ids: scores, or the four features."""
    rows: list[dict[str, Any]] = [orjson.loads(one) for one in predictions]
    names = ("n_forever", "total_forever", "first", "last")
    found = [[row["score"]] if with_scores else [row["features"][name] for name in names] for row in rows]
    return np.array(found, np.float64), [row["id"] for row in rows]


if __name__ == "__main__":
    main("shuffle", benchmark, __doc__)

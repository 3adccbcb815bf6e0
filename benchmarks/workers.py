"""Two workers against one: the cards stream in two partitions, a backlog, one model learned from both.

One `stream-ml run` has both scorers and the learner; of two, each has a scorer, and one of them the learner as well.
In turn (A B A B). Two cores that are shared with the broker cannot show two workers side by side, so wall time says
little here; CPU time is told in two ways. Where the work is spread evenly, two workers do twice one worker's CPU time
by that of both together: that is asked for. Here one of them has the learner besides, and workers with a core each are
as fast as the busier of them: one worker's CPU time by that of the busier. About three minutes.

The group waits for its members before it shares out the partitions (`group.initial.rebalance.delay.ms`, 3 s unless the
broker says otherwise, here 2 s): so both begin at once.

    python -m benchmarks workers [--quick]
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.command import Found, check, main, scratch, spread
from benchmarks.peers.backlog import Stream, filled, make_stream, read_back
from stream_ml.bench.processes import Child, cpu_of
from stream_ml.bench.stand import Stand
from stream_ml.bench.throughput import ready
from stream_ml.demos.broker import QUICK, Broker
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options

WORKERS, PARTITIONS, LIMIT = (1, 2), 2, 1.7
LEARNER = "learner"
GATHER, GATHER_MS, QUICK_GATHER_MS = "group.initial.rebalance.delay.ms", 2_000, 500
_DRAIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Right:
    """What a replay answers: the payments in all, and the features of each as JSON, by its id."""

    payments: int
    features: dict[str, bytes]


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    payments, rounds = (2_000, 1) if quick else (300_000, 5)
    machine, gather = QUICK if quick else (), {GATHER: f"{QUICK_GATHER_MS if quick else GATHER_MS}"}
    with scratch() as folder, Broker(folder / "broker", machine=machine, options=gather) as broker:
        stream = make_stream(folder, payments)
        right = reference(stream)
        runs: dict[int, list[Found]] = {count: [] for count in WORKERS}
        for number in range(rounds):
            for count in WORKERS:
                one = drained(broker, stream, right, count)
                sys.stderr.write(f"{number + 1}/{rounds} {count}: {one['cpu_us_per_payment']} us a payment\n")
                runs[count].append(one)
    return {
        "workload": f"cards on Kafka: a backlog of {payments:,} payments and as many label records in {PARTITIONS}"
        " partitions, one model learned from both, one broker with one copy of each topic, all of it on these cores",
        "rounds": rounds,
        "payments": payments,
        "workers": {f"{count}": summary(ones) for count, ones in runs.items()},
        **speed_up(runs[1], runs[2]),
    }


def reference(stream: Stream) -> Right:
    """Replay the stream; a card's features are the same in whatever partition it is."""
    done = replay(stream.source, stream.files, options=Options(collect=True))
    return Right(stream.events, features_of(done.outputs["examples"]))


def features_of(examples: list[bytes]) -> dict[str, bytes]:
    """Return the features of each example as JSON, by the payment's id; each id must come once.

    Raises
    ------
    RuntimeError
        A payment has two examples.
    """
    rows = [orjson.loads(value) for value in examples]
    found = {row["id"]: orjson.dumps(row["features"]) for row in rows}
    check(holds=len(found) == len(rows), what=f"{len(rows)} examples of {len(found)} payments")
    return found


def drained(broker: Broker, stream: Stream, right: Right, count: int) -> Found:
    """Let some workers drain the stream, check what they put out, and return what was measured."""
    with filled(broker.address, stream, PARTITIONS) as place:
        served = cpu_of(broker.pid) or 0.0
        spent, told = run(place, count)
        served = (cpu_of(broker.pid) or 0.0) - served
        stamps = answers(broker.address, place.name, right)
    learned = max(task["stats"]["examples"] for one in told for name, task in one["tasks"].items() if name == LEARNER)
    check(holds=learned == stream.events, what=f"{learned} examples learned of {stream.events}")
    wall = (max(stamps) - min(stamps)) / 1e3
    return {
        "payments_per_second": round(stream.events / max(wall, 1e-3)),
        "cpu_us_per_payment": round(sum(spent) / stream.events * 1e6, 2),
        "busiest_cpu_us_per_payment": round(max(spent) / stream.events * 1e6, 2),
        "broker_cpu_us_per_payment": round(served / stream.events * 1e6, 2),
        "partitions": sorted(sum(name != LEARNER for name in one["tasks"]) for one in told),
    }


def run(place: Stand, count: int) -> tuple[list[float], list[dict[str, Any]]]:
    """Start workers at once and wait for their end: CPU seconds of each from where it was ready, and what it told."""
    line = ["-m", "stream_ml.cli.main", "run", str(place.copy), "--on", place.url, "--until-end", "--json"]
    with ExitStack() as stack:
        workers = [stack.enter_context(Child(line, place.folder / f"worker{n}.txt")) for n in range(count)]
        before = [ready(worker, f"{place.name} on ") for worker in workers]
        told = [orjson.loads(worker.finish(_DRAIN_S).splitlines()[-1]) for worker in workers]
        spent = [worker.cpu_s - cpu for worker, cpu in zip(workers, before, strict=True)]
    return spent, told


def answers(servers: str, name: str, right: Right) -> list[int]:
    """Check what was put out: a prediction and an example of each payment, features as replayed; return the stamps.

    Raises
    ------
    RuntimeError
        Something else is there.
    """
    kinds: dict[str, list[bytes]] = {"predictions": [], "examples": []}
    stamps: list[int] = []
    for kind, values in kinds.items():
        for partition in range(PARTITIONS):
            found, at = read_back(servers, f"{name}.{kind}", partition)
            values.extend(found)
            stamps.extend(at)
    ids = [orjson.loads(value)["id"] for value in kinds["predictions"]]
    check(holds=len(ids) == right.payments == len(set(ids)), what=f"{len(ids)} predictions of {len(set(ids))} payments")
    check(holds=features_of(kinds["examples"]) == right.features, what="features differ from those of a replay")
    return stamps


def summary(runs: list[Found]) -> Found:
    """Return medians with ranges."""
    digits = {"payments_per_second": 0} | {f"{who}cpu_us_per_payment": 2 for who in ("", "busiest_", "broker_")}
    return {what: spread([one[what] for one in runs], count) for what, count in digits.items()}


def speed_up(one: list[Found], two: list[Found]) -> Found:
    """Return how many times more two workers do, round by round, by both measures of CPU time and by wall time."""
    pairs = list(zip(one, two, strict=True))
    even = spread([2 * a["cpu_us_per_payment"] / b["cpu_us_per_payment"] for a, b in pairs])
    return {
        "speed_up": even,
        "speed_up_of_the_busier": spread(
            [a["cpu_us_per_payment"] / b["busiest_cpu_us_per_payment"] for a, b in pairs]
        ),
        "by_wall_time": spread([b["payments_per_second"] / a["payments_per_second"] for a, b in pairs]),
        "limit": LIMIT,
        "reached": bool(even["median"] >= LIMIT),
    }


if __name__ == "__main__":
    main("workers", benchmark, __doc__)

"""The Kafka engine: cards, one worker, beside the floors of `benchmarks.kafka_floor` in the same run, on one broker.

Latency: an open loop (`stream_ml.bench`) against the worker and against the transactional echo in turn (A B A B).
Throughput: a backlog of payments with their label records, drained by the worker and by the pass-through in turn; the
broker's CPU time apart. Freshness: four partitions, one model learned from all of them.

    python -m benchmarks kafka [--quick]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.command import Found, check, environment, main, scratch, spread
from stream_ml.bench.copies import topic_of
from stream_ml.bench.figures import SHARES as FIGURES
from stream_ml.bench.latency import Asked, latency
from stream_ml.bench.processes import Child, cpu_of
from stream_ml.bench.stand import Stand
from stream_ml.bench.subject import Subject
from stream_ml.bench.throughput import Backlog, throughput
from stream_ml.client.address import kafka_servers
from stream_ml.demos.broker import QUICK, SHIPPED, Broker

CARDS = Path(__file__).resolve().parent.parent / "stream_ml" / "demos" / "cards.py"
WORKER, ECHO, PASS = "stream-ml run", "transactional echo", "transactional pass-through"
RATES, PARTITIONS = (1_000.0, 10_000.0), 4
LATENCY_LIMIT, THROUGHPUT_LIMIT, SYNC_S, FRESH_S = 2.0, 0.5, 1.0, 0.5
SHARES = ("p50", "p99")


def benchmark(quick: bool) -> Found:
    """Measure on a broker of our own, stopped in the end."""
    with scratch() as folder, Broker(folder / "broker", machine=QUICK if quick else SHIPPED) as broker:
        url = f"kafka://{broker.address}"
        return {
            "workload": "cards on Kafka, one broker (options of Kafka's own start script) with one copy of each topic,"
            " one worker, transactions of 10 ms at the soonest, all of it on these cores",
            "latency": {
                f"{rate:.0f}": latencies(url, rate, 3.0 if quick else 20.0, 1 if quick else 2)
                for rate in (RATES[:1] if quick else RATES)
            },
            "throughput": throughputs(url, broker, 20_000 if quick else 200_000, 1 if quick else 3),
            "freshness": freshness(url, 4.0 if quick else 40.0),
        }


def floor(program: str) -> Subject:
    """Return a floor in the worker's place."""

    def start(place: Stand, until_end: bool) -> Child:
        topics = [topic_of(place.name, topic) for topic in ("payments", "chargebacks")]
        line = ["-m", "benchmarks.kafka_floor", program, str(kafka_servers(place.url)), place.name, *topics]
        return Child([*line, *(["--until-end"] if until_end else [])], place.folder / "worker.txt")

    return Subject(start, id_field="payment" if program == "echo" else "id")


def latencies(
    url: str, rate: float, seconds: float, rounds: int, others: Mapping[str, Subject] = MappingProxyType({})
) -> Found:
    """Measure the worker, the echo and others in turn at one rate."""
    asked = Asked(source=CARDS, url=url, rate=rate, seconds=seconds)
    subjects = {WORKER: Subject(), ECHO: floor("echo"), **others}
    steps: dict[str, list[Any]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            (step,) = latency(asked, print, subject)["steps"]
            behind = name in others and not step["sustained"]
            check(holds=step["answers"] == step["answered"], what=f"{name}: {step}")
            check(holds=behind or step["answered"] == step["events"], what=f"{name}: {step}")
            steps[name].append(step)
    found: Found = {"rounds": rounds, "seconds": seconds, "label_share": asked.labels, "programs": {}}
    for name, runs in steps.items():
        found["programs"][name] = {
            "latency_ms": {share: spread([one["latency_ms"][share] for one in runs]) for share in (*FIGURES, "max")},
            "generator_delay_p99_9_ms": spread([one["generator_delay_ms"]["p99_9"] for one in runs]),
            "void": sum(one["void"] for one in runs),
            "sustained": all(one["sustained"] for one in runs),
            "hdr": [one["latency_ms"]["hdr"] for one in runs],
        }
    of = found["programs"]
    found["ratio"] = {
        share: round(of[WORKER]["latency_ms"][share]["median"] / of[ECHO]["latency_ms"][share]["median"], 2)
        for share in SHARES
    }
    found["limit"] = LATENCY_LIMIT
    found["reached"] = all(found["ratio"][share] <= LATENCY_LIMIT for share in SHARES)
    return found


def throughputs(url: str, broker: Broker, events: int, rounds: int) -> Found:
    """Drain the same backlog with the worker and the pass-through in turn."""
    asked = Backlog(CARDS, url, events)

    def meter() -> float:
        return cpu_of(broker.pid) or 0.0

    runs: dict[str, list[Any]] = {WORKER: [], PASS: []}
    for _ in range(rounds):
        for name, start in ((WORKER, Subject().start), (PASS, floor("pass").start)):
            one = throughput(asked, print, Subject(start, meter=meter))
            for what in ("answered", "examples"):
                check(holds=one[what] == events, what=f"{name}: {what} {one[what]} of {events}")
            runs[name].append(one)
    found: Found = {"rounds": rounds, "payments": events, "input_bytes": runs[WORKER][0]["input_bytes"], "programs": {}}
    for name, ones in runs.items():
        found["programs"][name] = {
            "payments_per_second": spread([one["events_per_second"] or 0 for one in ones], 0),
            "cpu_us_per_payment": spread([one["cpu_us_per_event"] for one in ones]),
            "broker_cpu_us_per_payment": spread([one["served_by_cpu_s"] / events * 1e6 for one in ones]),
            "turns": spread([one["turns"] for one in ones], 0),
        }
    of = found["programs"]
    wall = of[WORKER]["payments_per_second"]["median"] / max(1, of[PASS]["payments_per_second"]["median"])
    cpu = of[PASS]["cpu_us_per_payment"]["median"] / of[WORKER]["cpu_us_per_payment"]["median"]
    found["ratio"] = {"by_wall_time": round(wall, 2), "by_cpu_time": round(cpu, 2)}
    found["limit"] = THROUGHPUT_LIMIT
    found["reached"] = bool(wall >= THROUGHPUT_LIMIT)
    return found


def freshness(url: str, seconds: float) -> Found:
    """Measure update-visible latency where a learner of its own learns from four partitions."""
    with environment(STREAM_ML_KAFKA_PARTITIONS=str(PARTITIONS)):
        measured = latency(Asked(source=CARDS, url=url, rate=RATES[0], seconds=seconds), print)
    (step,) = measured["steps"]
    check(holds=measured["learning"] == "shared" and step["answered"] == step["events"], what=f"freshness: {step}")
    visible = step["update_visible_ms"]
    return {
        "partitions": PARTITIONS,
        "rate": step["rate"],
        "sync_s": SYNC_S,
        "limit_ms": (SYNC_S + FRESH_S) * 1e3,
        "reached": visible["p99"] <= (SYNC_S + FRESH_S) * 1e3,
        "void": step["void"],
        "update_visible_ms": visible,
        "latency_ms": step["latency_ms"],
    }


if __name__ == "__main__":
    main("kafka", benchmark, __doc__)

"""The peers, what starts them, and what is measured while a program drains a backlog."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Found, spread
from benchmarks.peers.backlog import Stream, filled
from stream_ml.bench.copies import topic_of
from stream_ml.bench.processes import Child, cpu_of
from stream_ml.bench.stand import Stand
from stream_ml.bench.subject import Subject
from stream_ml.bench.throughput import Drained, drain, paced
from stream_ml.client.address import kafka_servers
from stream_ml.demos.broker import Broker
from stream_ml.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "out" / "peers" / "bin" / "python"
INTERVAL_S = 0.1
CARDS_TOPICS = ("payments", "chargebacks")

Start = Callable[[Stand, bool], Child]
#: Given the servers and a program's name: reads what it put out, checks it; returns its time stamps, and what it found.
Check = Callable[[str, str], tuple[NDArray[np.int64], Found]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A program in the worker's place.

    Parameters
    ----------
    module
        Of `benchmarks.peers`.
    package
        Its version is told.
    limit
        How many times faster the worker has to be, by wall time.
    exactly_once
        Whether it is asked for that.
    """

    module: str
    package: str
    limit: float
    exactly_once: bool = False

    @property
    def guarantee(self) -> str:
        """What holds for records; none of them keeps its state over a restart."""
        return f"{'exactly' if self.exactly_once else 'at least'} once for records, state in memory"

    @property
    def settings(self) -> str:
        """What its module says of them."""
        source = (Path(__file__).parent / f"{self.module}.py").read_text(encoding="utf-8")
        said = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
        return said.partition("Settings: ")[2]


PEERS = {
    "aiokafka + river": Peer("with_aiokafka", "aiokafka", 5.0),
    "Quix Streams + river": Peer("with_quix", "quixstreams", 0.0),
    "Quix Streams + river, exactly once": Peer("with_quix", "quixstreams", 10.0, exactly_once=True),
    "Bytewax + river": Peer("with_bytewax", "bytewax", 8.0),
    "Faust + river": Peer("with_faust", "faust-streaming", 25.0),
}

def peers_versions() -> dict[str, str]:
    """Return the versions in the peers' environment.

    Raises
    ------
    UsageError
        It is not there.
    """
    if not PYTHON.exists():
        cause = f"The peers have an environment of their own, and {PYTHON} is missing"
        raise UsageError(cause, "make peers-env")
    asked = sorted({*(peer.package for peer in PEERS.values()), "confluent-kafka", "river", "orjson"})
    code = "import json, sys; from importlib.metadata import version; "
    code += "print(json.dumps({one: version(one) for one in sys.argv[1:]}))"
    done = subprocess.run([str(PYTHON), "-c", code, *asked], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def in_turn(
    broker: Broker, stream: Stream, rounds: int, programs: Mapping[str, tuple[Start, Check]]
) -> dict[str, list[Found]]:
    """Let every program drain the stream, round by round."""
    runs: dict[str, list[Found]] = {name: [] for name in programs}
    for number in range(rounds):
        for name, (start, right) in programs.items():
            one = drained(broker, stream, start, right)
            sys.stderr.write(f"{number + 1}/{rounds} {name}: {one['events_per_second']:,} a second\n")
            runs[name].append(one)
    return runs


def in_place(
    peer: Peer, records: int, interval_s: float = INTERVAL_S, job: str = "cards", topics: Sequence[str] = CARDS_TOPICS
) -> Start:
    """Return what starts a peer in the worker's place, to do a job with the records of some topics."""

    def start(place: Stand, until_end: bool) -> Child:
        line = ["-m", f"benchmarks.peers.{peer.module}", str(kafka_servers(place.url)), place.name]
        line += [topic_of(place.name, topic) for topic in topics]
        line += ["--job", job,"--interval-s", str(interval_s), "--folder", str(place.folder)]
        line += ["--records", str(records)] if until_end else []
        line += ["--exactly-once"] if peer.exactly_once else []
        return Child(line, place.folder / "worker.txt", str(PYTHON))

    return start


def drained(broker: Broker, stream: Stream, start: Start, right: Check) -> Found:
    """Fill topics, let a program drain them, check what it put out; return what was measured."""

    def meter() -> float:
        return cpu_of(broker.pid) or 0.0

    with filled(broker.address, stream) as place:
        took = drain(place, Subject(start, meter=meter))
        stamps, answers = right(broker.address, place.name)
    return {**rates(stamps, stream.events, took), "answers": answers}


def rates(stamps: NDArray[np.int64], events: int, took: Drained) -> Found:
    """Return events a second, and CPU an event; stamps are those of all outputs, epoch ms, ascending.

    Wall time runs from the first commit of outputs to the last, by the log's own time stamps, over the outputs after
    those of the first: neither starting nor ending is in it. CPU time is all from the moment the process was ready.
    """
    wall, after = paced(stamps, events)
    return {
        "events_per_second": round(after / max(1e-3, wall)),
        "cpu_us_per_event": round(took.cpu_s / events * 1e6, 2),
        "broker_cpu_us_per_event": round(took.served_cpu_s / events * 1e6, 2),
    }


def summary(runs: list[Found]) -> Found:
    """Return medians with ranges, and what the last run's answers were like."""
    digits = {"events_per_second": 0, "cpu_us_per_event": 2, "broker_cpu_us_per_event": 2}
    return {
        **{what: spread([one[what] for one in runs], count) for what, count in digits.items()},
        "answers": runs[-1]["answers"],
    }


def ratios(ours: list[Found], theirs: list[Found], limit: float) -> Found:
    """Return how many times faster the worker is, round by round: median and range."""
    pairs = list(zip(ours, theirs, strict=True))
    wall = spread([a["events_per_second"] / max(1, b["events_per_second"]) for a, b in pairs])
    cpu = spread([b["cpu_us_per_event"] / a["cpu_us_per_event"] for a, b in pairs])
    found: Found = {"by_wall_time": wall, "by_cpu_time": cpu}
    return found | ({"limit": limit, "reached": bool(wall["median"] >= limit)} if limit else {})

"""Golden streams: records in a file, answers known; whole, cut and restored, by session, replay and local engine.

`GOLDEN=write python -m pytest tests/test_golden.py` writes the known answers anew: a change of them is a change of what
users get.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from stream_ml.client.log import now_ms
from stream_ml.config.settings import Settings
from stream_ml.engines.local.worker import Worker
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.session import RANKS, Out, Run, Session, read_manifest
from tests.pipelines_data import records

HERE = Path(__file__).parent
FOLDER = HERE / "golden"
KNOWN = FOLDER / "answers.json"
#: Pipelines whose model is compiled: their last bits are the same on every CPU.
NAMES = ("cards", "fraud", "flights", "clicks", "bids", "eta", "bikes", "recommend", "credit")
EVENTS, SEED = 150, 11
TOPICS = ("predictions", "examples", "dead", "alarms")
#: What tells where a record stood, which differs between one log and a file a topic.
PLACES = ("prediction_id", "offset", "partition", "raw", "size")
Row = tuple[str, int, bytes]


def stream_file(name: str) -> Path:
    return FOLDER / f"{name}.ndjson.gz"


def rows(name: str, pipeline: Pipeline) -> list[Row]:
    """Return (topic, received, record) in the order in which they are fed."""
    text = gzip.decompress(stream_file(name).read_bytes()).decode()
    ranks = {stream.topic: RANKS[stream.role] for stream in reversed(Session(pipeline).plan.scorer.streams)}
    found = [json.loads(line) for line in text.splitlines()]
    found.sort(key=lambda one: (one["received"], ranks[one["topic"]]))
    return [
        (one["topic"], one["received"], json.dumps({**one["record"], "received": one["received"]}).encode())
        for one in found
    ]


def pipeline_of(name: str) -> Pipeline:
    return load(HERE / "pipelines" / f"{name}.py")


def digest(outputs: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return how many records came out on each topic, and a digest of what they say."""
    seen = {topic: hashlib.sha256() for topic in TOPICS}
    counts = dict.fromkeys(TOPICS, 0)
    for topic, line in outputs:
        kind = topic.rpartition(".")[2]
        if kind in seen:
            said = {key: value for key, value in json.loads(line).items() if key not in PLACES}
            seen[kind].update(json.dumps(said).encode() + b"\n")
            counts[kind] += 1
    return {kind: [counts[kind], seen[kind].hexdigest()[:16]] for kind in TOPICS}


def lines(outs: Iterable[Out]) -> list[tuple[str, bytes]]:
    return [(out.topic, line) for out in outs for line in out.values]


def run_of(part: list[Row], first: int) -> Run:
    n = len(part)
    received = np.array([row[1] for row in part], np.int64)
    return Run(
        "log", first, first + n, 1 << 60, [row[0] for row in part], np.arange(first, first + n), received, [None] * n,
        [row[2] for row in part],
    )  # fmt: skip


def by_session(pipeline: Pipeline, log: list[Row], _: Path) -> list[tuple[str, bytes]]:
    return lines(Session(pipeline).feed([run_of(log, 0)]).out)


def by_cuts(pipeline: Pipeline, log: list[Row], _: Path) -> list[tuple[str, bytes]]:
    """Feed in small turns; every third turn the session is packed up and restored elsewhere."""
    session, out, blobs = Session(pipeline), list[tuple[str, bytes]](), list[bytes]()
    for turn, first in enumerate(range(0, len(log), 17)):
        out += lines(session.feed([run_of(log[first : first + 17], first)]).out)
        if turn % 3 == 0:
            *fresh, manifest = session.segment()
            blobs = fresh if read_manifest(manifest).base else [*blobs, *fresh]
            session = Session.restore(pipeline, manifest, blobs)
    return out


def by_replay(pipeline: Pipeline, log: list[Row], folder: Path) -> list[tuple[str, bytes]]:
    files: dict[str, Path] = {}
    for topic in dict.fromkeys(row[0] for row in log):
        files[topic] = folder / f"{topic}.ndjson"
        files[topic].write_bytes(b"".join(row[2] + b"\n" for row in log if row[0] == topic))
    done = replay(pipeline, files, options=Options(turn=64, collect=True))
    return [(kind, line) for kind in TOPICS for line in done.outputs[kind]]


def by_local(pipeline: Pipeline, log: list[Row], folder: Path) -> list[tuple[str, bytes]]:
    path = folder / "golden.db"
    with Worker(pipeline, path, Settings(batch=50)) as worker:
        database = apsw.Connection(str(path))
        with database:
            database.executemany("INSERT INTO log (topic, received, value) VALUES (?, ?, ?)", log)
        worker.run(until_end=True)
        query = "SELECT topic, value FROM log WHERE row > ? ORDER BY row"
        return [(topic, bytes(value)) for topic, value in database.execute(query, (len(log),))]


ENGINES = {"session": by_session, "cuts": by_cuts, "replay": by_replay}


def written() -> dict[str, Any]:
    """Write the streams and what the session answers."""
    answers = {}
    for name in NAMES:
        found = [
            {"topic": topic, "received": received, "record": record}
            for topic, received, record in records(name, EVENTS, SEED)
        ]
        text = "".join(json.dumps(one, default=str) + "\n" for one in found)
        stream_file(name).write_bytes(gzip.compress(text.encode(), mtime=0))
        pipeline = pipeline_of(name)
        answers[name] = digest(by_session(pipeline, rows(name, pipeline), FOLDER))
    KNOWN.write_text(json.dumps(answers, indent=1) + "\n")
    return answers


if os.environ.get("GOLDEN") == "write":
    written()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_the_known_ones(name: str, engine: str, tmp_path: Path) -> None:
    pipeline = pipeline_of(name)
    log = rows(name, pipeline)
    known = json.loads(KNOWN.read_text())[name]
    assert digest(ENGINES[engine](pipeline, log, tmp_path)) == known


@pytest.mark.parametrize("name", NAMES)
def test_the_local_engine_answers_the_same_and_then_lets_today_pass(name: str, tmp_path: Path) -> None:
    """The golden records are years old: after the last one the worker's clock lets every deadline pass, as ticks do."""
    pipeline = pipeline_of(name)
    log = rows(name, pipeline)
    session = Session(pipeline)
    expected = lines(session.feed([run_of(log, 0)]).out)
    assert digest(expected) == json.loads(KNOWN.read_text())[name]
    expected += lines(session.feed([], tick=now_ms()).out)
    assert digest(by_local(pipeline, log, tmp_path)) == digest(expected)

"""Replay: the core over files of history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from stream_ml.engines.replay.merged import turns
from stream_ml.engines.replay.opened import History, disorders, open_sources
from stream_ml.engines.replay.outputs import STREAMS, Files, Replayed, kind_of
from stream_ml.engines.saved import save_state
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Out, Run
from stream_ml.sessions.session import Session, Turn

#: Most records of a turn.
TURN = 8_192
Progress = Callable[[int, int | None], None]
Watcher = Callable[[Session, Turn], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How a replay goes.

    Parameters
    ----------
    turn
        Most records of a turn; the answers do not depend on it.
    collect
        Whether outputs are kept in memory and returned.
    watcher
        Called after each turn with the session and what the turn decided.
    """

    turn: int = TURN
    collect: bool = False
    watcher: Watcher | None = None


PLAIN = Options()


def replay(
    pipeline: Pipeline | str | Path,
    history: Mapping[str, History],
    *,
    out: Path | None = None,
    features: bool = False,
    received: Mapping[str, str] | None = None,
    save: Path | None = None,
    progress: Progress | None = None,
    options: Options = PLAIN,
) -> Replayed:
    """Run a pipeline over history, merged by received time.

    Parameters
    ----------
    pipeline
        A pipeline, or the file that defines one.
    history
        For each topic a file (NDJSON, CSV, Parquet; gzip too), several files, or records: dicts, event instances or
        JSON bytes, each in order of time. ``kafka://host:port`` or ``kafka://host:port/topic`` is all that a topic on
        Kafka holds now, its received times the log's.
    out
        Folder that ``predictions.ndjson``, ``examples.ndjson``, ``dead.ndjson``, ``alarms.ndjson``,
        ``metrics.ndjson`` (every measurement) and ``metrics.json`` (where it ended) are written to.
    features
        Whether each prediction holds its feature values.
    received
        For a topic, the column that holds the received time (epoch ms or ISO text); by default ``received`` where
        there is one, otherwise the record's own time.
    save
        Folder that the final state is written to, for ``run --start-from``.
    progress
        Called with the records done, and how many there are where that can be told.
    options
        How the replay goes.

    Returns
    -------
    Replayed
        Counters and metrics; predictions and the rest are in `out`, or in ``outputs`` if they are collected.

    Raises
    ------
    UsageError
        When a topic is missing or unknown, or a label stream has neither a received column nor ``time=``.
    InputError
        When a file is missing or damaged as a whole.
    StorageError
        When outputs or the state cannot be written.

    Examples
    --------
    >>> from stream_ml.demos.cards import pipeline
    >>> payment = {"payment": "p1", "card": "c1", "terminal": "t1", "amount": 12.5, "at": "2026-01-05T09:00:00Z"}
    >>> label = {"payment": "p1", "card": "c1", "fraud": False, "received": "2026-01-06T09:00:00Z"}
    >>> done = replay(pipeline, {"payments": [payment], "chargebacks": [label]})
    >>> done.records, done.counters["predicted"], done.counters["examples"]
    (2, 1, 1)
    """
    declared = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
    warm()
    session = Session(declared, features=features, journaled=False)
    sources, warnings = open_sources(declared, session.plan.scorer.streams, history, received or {})
    done, kept = 0, {kind: list[bytes]() for kind in STREAMS}
    begun = time.perf_counter()
    with Files(out) if out is not None else nullcontext() as files:
        for runs in turns(sources, options.turn):
            turn = session.feed(runs)
            if files is not None:
                files.write(turn.out)
            if options.collect:
                _collect(kept, turn.out)
            done += sum(len(run.values) for run in runs)
            _tell(progress, options.watcher, done, session, turn)
        seconds = time.perf_counter() - begun
        counters, metrics = session.stats, session.quality()
        summary = {"pipeline": declared.name, "records": done, "counters": counters, "metrics": metrics}
        paths = {} if files is None else files.finish(summary)
    if save is not None:
        save_state(session, save)
    warnings += disorders(sources)
    return Replayed(done, seconds, counters, metrics, kept, paths, tuple(warnings), session)


def _tell(progress: Progress | None, watcher: Watcher | None, done: int, session: Session, turn: Turn) -> None:
    if progress is not None:
        progress(done, None)
    if watcher is not None:
        watcher(session, turn)


def _collect(kept: dict[str, list[bytes]], out: Sequence[Out]) -> None:
    for one in out:
        kept[kind_of(one)].extend(one.values)


__all__ = ["History", "Options", "Replayed", "Run", "replay"]

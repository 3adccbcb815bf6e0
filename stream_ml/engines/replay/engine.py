"""Replay: the core over files of history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_ml.client.address import kafka_topic, no_aiokafka
from stream_ml.engines.replay.merged import turns
from stream_ml.engines.replay.moments import OwnTime
from stream_ml.engines.replay.outputs import STREAMS, Files, Replayed, kind_of
from stream_ml.engines.replay.sources import Record, Source, in_memory
from stream_ml.engines.saved import save_state
from stream_ml.errors import UsageError
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import LabelSpec, spec_of
from stream_ml.schema.history import Batch, read
from stream_ml.schema.records import Out, Run
from stream_ml.scorer.spec import Stream
from stream_ml.sessions.session import RANKS, Session, Turn

#: Most records of a turn.
TURN = 8_192
#: A record that goes back by more than its lateness and this stands in the wrong place of its file.
SLACK_MS = 60_000
#: Share of such records in a source that is worth a warning.
DISORDER = 0.01
History = str | Path | Iterable[str | Path] | Iterable[Record]
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
    sources, warnings = _sources(declared, session, history, received or {})
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
    warnings += [_disorder(source) for source in sources if source.went_back > DISORDER * source.count]
    return Replayed(done, seconds, counters, metrics, kept, paths, tuple(warnings), session)


def _disorder(source: Source) -> str:
    return (
        f"{source.went_back:,} of {source.count:,} records of {source.topic} stand after later ones: they count as "
        "received with those; sort the file by time"
    )


def _tell(progress: Progress | None, watcher: Watcher | None, done: int, session: Session, turn: Turn) -> None:
    if progress is not None:
        progress(done, None)
    if watcher is not None:
        watcher(session, turn)


def _collect(kept: dict[str, list[bytes]], out: Sequence[Out]) -> None:
    for one in out:
        kept[kind_of(one)].extend(one.values)


# --- sources ----------------------------------------------------------------------------------------------------------


def _sources(
    pipeline: Pipeline, session: Session, history: Mapping[str, History], received: Mapping[str, str]
) -> tuple[list[Source], list[str]]:
    """Return the sources in the order of the plan's topics, and what to warn of."""
    _check_topics(session.topics, history, "history")
    _check_topics(session.topics, received, "received=")
    sources: list[Source] = []
    warnings: list[str] = []
    for topic in session.topics:
        if topic not in history:
            continue
        streams = [stream for stream in session.plan.scorer.streams if stream.topic == topic]
        for number, batches in enumerate(_batches(history[topic], topic, streams[0].model, received.get(topic))):
            first = next(batches, None)
            own = None
            if first is not None and first.received is None:
                own = _own_time(pipeline, streams, warnings)
            rest = batches if first is None else _again(first, batches)
            event = session.plan.scorer.streams[0] if streams[0].role == "label" else streams[0]
            rank, late = RANKS[streams[0].role], event.lateness_ms + SLACK_MS
            sources.append(Source(f"{topic}/{number}", topic, rank, rest, own, event.ahead_ms or SLACK_MS, late))
    missing = [topic for topic in session.topics if topic not in history]
    if session.topics[0] in missing:
        cause = f"{pipeline.name!r} reads {session.topics[0]}, and no history of it is given"
        raise UsageError(cause, f"Add {session.topics[0]}=FILE")
    warnings += [f"no history of {topic} is given: it is taken as empty" for topic in missing]
    return sources, list(dict.fromkeys(warnings))


def _check_topics(known: Sequence[str], given: Iterable[str], where: str) -> None:
    for topic in given:
        if topic not in known:
            cause = f"{where} names {topic}, which the pipeline does not read"
            raise UsageError(cause, f"It reads {', '.join(known)}")


def _batches(given: History, topic: str, model: type[Any], column: str | None) -> list[Iterator[Batch]]:
    """Return the batches of each file, of each partition of a topic on Kafka, or of the records in memory."""
    if isinstance(given, str | Path):
        found = kafka_topic(str(given), topic)
        return [read(given, model, column)] if found is None else _on_kafka(*found, column)
    if isinstance(given, list | tuple) and given and all(isinstance(one, str | Path) for one in given):
        return [batches for one in given for batches in _batches(one, topic, model, column)]
    return [in_memory(given, column)]  # type: ignore[arg-type]  # told apart above


def _on_kafka(servers: str, topic: str, column: str | None) -> list[Iterator[Batch]]:
    try:
        from stream_ml.client.history import partitions_of  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        raise no_aiokafka() from error
    return partitions_of(servers, topic, column)


def _again(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


def _own_time(pipeline: Pipeline, streams: Sequence[Stream], warnings: list[str]) -> OwnTime | None:
    """Return what reads the records' own time; None for a table that has none."""
    for stream in streams:
        name = stream.time
        declared = spec_of(stream.model)
        if stream.role == "label" and isinstance(declared, LabelSpec):
            name = declared.time
        if name is not None:
            return OwnTime(stream.model, name)
    stream = streams[0]
    if stream.role == "table":
        warnings.append(
            f"{stream.topic} has neither a column `received` nor time=: {stream.model.__name__} is taken as constant "
            "from the start, so features may look ahead"
        )
        return None
    cause = f"nothing says when the records of {stream.topic} were received, so what they teach would come too early"
    cure = (
        f"Give the file a column `received` (or --received {stream.topic}=COLUMN), or write "
        f'class {stream.model.__name__}(..., time="FIELD") in the file of {pipeline.name!r}'
    )
    raise UsageError(cause, cure)


__all__ = ["History", "Options", "Replayed", "Run", "replay"]

"""Opens a history: for each topic its files, its records in memory or what Kafka holds, and what dates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_ml.client.address import kafka_topic, no_aiokafka
from stream_ml.engines.replay.moments import OwnTime
from stream_ml.engines.replay.sources import Record, Source, in_memory
from stream_ml.errors import UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import LabelSpec, spec_of
from stream_ml.schema.history import Batch, read
from stream_ml.scorer.spec import Stream
from stream_ml.sessions.session import RANKS

#: A record that goes back by more than its lateness and this stands in the wrong place of its file.
SLACK_MS = 60_000
#: Share of such records in a source that is worth a warning.
DISORDER = 0.01
History = str | Path | Iterable[str | Path] | Iterable[Record]


def open_sources(
    pipeline: Pipeline, streams: Sequence[Stream], history: Mapping[str, History], received: Mapping[str, str]
) -> tuple[list[Source], list[str]]:
    """Return the sources in the order of the plan's topics, and what to warn of.

    Parameters
    ----------
    streams
        What is read, the pipeline's own events first.
    history, received
        As :func:`stream_ml.replay` is given them.

    Raises
    ------
    UsageError
        When a topic is missing or unknown, or a label stream has neither a received column nor ``time=``.
    InputError
        When a file is missing or damaged as a whole.
    """
    topics = tuple(dict.fromkeys(stream.topic for stream in streams))
    _check_topics(topics, history, "history")
    _check_topics(topics, received, "received=")
    sources: list[Source] = []
    warnings: list[str] = []
    for topic in topics:
        if topic not in history:
            continue
        mine = [stream for stream in streams if stream.topic == topic]
        for number, batches in enumerate(_batches(history[topic], topic, mine[0].model, received.get(topic))):
            first = next(batches, None)
            own = None
            if first is not None and first.received is None:
                own = _own_time(pipeline, mine, warnings)
            rest = batches if first is None else _again(first, batches)
            event = streams[0] if mine[0].role == "label" else mine[0]
            rank, late = RANKS[mine[0].role], event.lateness_ms + SLACK_MS
            sources.append(Source(f"{topic}/{number}", topic, rank, rest, own, event.ahead_ms or SLACK_MS, late))
    missing = [topic for topic in topics if topic not in history]
    if topics[0] in missing:
        cause = f"{pipeline.name!r} reads {topics[0]}, and no history of it is given"
        raise UsageError(cause, f"Add {topics[0]}=FILE")
    warnings += [f"no history of {topic} is given: it is taken as empty" for topic in missing]
    return sources, list(dict.fromkeys(warnings))


def disorders(sources: Sequence[Source]) -> list[str]:
    """Return a warning for each source whose records stand in no order of time."""
    return [
        f"{source.went_back:,} of {source.count:,} records of {source.topic} stand after later ones: they count as "
        "received with those; sort the file by time"
        for source in sources
        if source.went_back > DISORDER * source.count
    ]


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

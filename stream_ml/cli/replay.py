"""`stream-ml replay`: a pipeline over history, in files or on Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_ml.cli.console import progress_bar, say, tell, write_json, write_table
from stream_ml.cli.ready import settle
from stream_ml.client.address import kafka_topic
from stream_ml.engines.replay import history as run_history
from stream_ml.engines.replay import replay as run_replay
from stream_ml.errors import UsageError
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.blocks import reading


@dataclass(frozen=True, slots=True)
class Replay:
    """What was typed."""

    pipeline: Path
    files: list[str]
    out: Path | None
    features: bool
    received: list[str]
    save: Path | None
    only: str | None = None


def pairs(words: Iterable[str], form: str) -> dict[str, str]:
    """Read words of the form NAME=VALUE.

    Raises
    ------
    UsageError
        If one is of another form, or a name comes twice.

    Examples
    --------
    >>> pairs(["payments=p.ndjson", "chargebacks=c.csv"], "TOPIC=FILE")
    {'payments': 'p.ndjson', 'chargebacks': 'c.csv'}
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            cause = f"{word!r} is not {form}"
            raise UsageError(cause, f"Write {form}, as payments={form.partition('=')[2].lower()}")
        if name in found:
            cause = f"{name} is given twice"
            raise UsageError(cause, f"Write one {form} a topic")
        found[name] = value
    return found


def replay(typed: Replay, *, as_json: bool) -> None:
    """Replay, and say what came of it.

    Raises
    ------
    UsageError, InputError
        If the arguments or the files are not what they should be.
    """
    history = pairs(typed.files, "TOPIC=FILE")
    received = pairs(typed.received, "TOPIC=COLUMN")
    pipeline = load(typed.pipeline)
    for topic, file in history.items():
        if kafka_topic(file, topic) is not None:
            continue
        with reading(Path(file)):
            Path(file).open("rb").close()
    if typed.only is not None:
        _features(typed, pipeline, history, received, as_json=as_json)
        return
    settle()
    with progress_bar(f"replay {pipeline.name}") as bar:
        done = run_replay(
            pipeline,
            history,
            out=typed.out,
            features=typed.features,
            received=received,
            save=typed.save,
            progress=bar.update,
        )
    for warning in done.warnings:
        tell(f"stream-ml: warning: {warning}")
    if as_json:
        write_json(
            {
                "pipeline": pipeline.name,
                "records": done.records,
                "seconds": done.seconds,
                "counters": done.counters,
                "metrics": done.metrics,
                "files": {kind: str(path) for kind, path in done.files.items()},
                "saved": None if typed.save is None else str(typed.save),
            }
        )
        return
    say(f"{pipeline.name}: {done.records:,} records in {done.seconds:.1f} s, {done.rate:,.0f} a second")
    write_table(("what", "count"), counted(done.counters))
    write_table(("metric", "window", "value", "labels"), measured(done.metrics))
    for path in done.files.values():
        say(str(path))


def _features(
    typed: Replay, pipeline: Pipeline, files: Mapping[str, str], received: Mapping[str, str], *, as_json: bool
) -> None:
    """Write the feature table, and say what came of it."""
    if typed.only != "features":
        cause = f"--only {typed.only} is unknown"
        raise UsageError(cause, "Write --only features")
    if typed.out is None or typed.features or typed.save is not None:
        cause = "--only features writes one Parquet file, and keeps no state"
        raise UsageError(cause, "Add --out features.parquet, without --features and --save")
    settle()
    with progress_bar(f"features of {pipeline.name}") as bar:
        done = run_history(pipeline, files, out=typed.out, received=received, progress=bar.update)
    for warning in done.warnings:
        tell(f"stream-ml: warning: {warning}")
    if as_json:
        found = {"pipeline": pipeline.name, "records": done.records, "rows": done.rows, "seconds": done.seconds}
        write_json({**found, "counters": done.counters, "files": {"features": str(done.path)}})
        return
    say(f"{pipeline.name}: {done.records:,} records in {done.seconds:.1f} s, {done.rate:,.0f} a second")
    refused: Mapping[str, int] = done.counters["refused"]
    write_table(
        ("what", "count"),
        [("rows", f"{done.rows:,}"), *counted({**done.counters, "dead": refused})],
    )
    say(str(done.path))


def counted(counters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the counters that are not zero, for people."""
    rows = [(name, f"{value:,}") for name, value in counters.items() if isinstance(value, int) and value]
    dead = counters.get("dead", {})
    return rows + [(f"dead: {reason}", f"{count:,}") for reason, count in dead.items()]


def measured(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """List the metrics over all slices, for people."""
    return [
        (one["name"], one["window"], "" if one["value"] is None else f"{one['value']:.4f}", f"{one['n']:,}")
        for one in metrics
        if one["slice"] is None
    ]

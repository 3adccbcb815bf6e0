"""History: the feature table of a pipeline over files, by the kernels of a live run and without its model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream_ml.engines.replay.columns import Tables
from stream_ml.engines.replay.engine import Progress
from stream_ml.engines.replay.merged import turns
from stream_ml.engines.replay.opened import History, disorders, open_sources
from stream_ml.errors import InputError, Reason, UsageError
from stream_ml.kernels.jit import warm
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from stream_ml.schema.records import Run
from stream_ml.schema.verdict import Bad
from stream_ml.sessions.features import FeatureSession

#: Most records of a turn: many more than of a live one, for nobody waits for the first of them.
TURN = 1 << 16
#: Refused records that are told one by one.
TOLD = 20
#: Refused records after which a stream of which none was accepted is given up.
HOPELESS = 1_000
CURES = {
    Reason.TYPE: "Write the column in the type that the class declares, or declare the type that it has",
    Reason.NULL_KEY: "Fill the key in, or leave such rows out",
    Reason.MISSING: "Fill the column in, or give the field a default",
    Reason.NUMBER: "Write a missing number as null, and declare the field as `float | None`",
    Reason.AHEAD: "Look at the clock that dated it; live it would be refused too",
}
ANY_CURE = "Mend the row or leave it out; live it would be refused too"


@dataclass(frozen=True, slots=True)
class Refused:
    """A record of history that was refused, as it would be live.

    Parameters
    ----------
    source
        The file; ``topic/number`` for records that are in memory or on Kafka.
    row
        Its number in there, counted from 1.
    path
        Where in the record: ``$.card``.
    """

    source: str
    row: int
    reason: str
    path: str
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.source}, row {self.row}, {self.path}: {self.message}. {self.cure}."


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """What came of a history run.

    Parameters
    ----------
    table
        A ``pyarrow.Table``: a row for each event that a live run would answer, in that order, with the event's id, key
        and time and then the features. None where it was written to `path`.
    rows, records, seconds
        Rows of the table, records read, and how long that took, compiling apart.
    counters
        Records refused, by reason, and events that were late, duplicates, ….
    refused
        The first of the refused records.
    warnings
        What to know about the history itself.
    """

    table: Any
    rows: int
    records: int
    seconds: float
    counters: dict[str, Any]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]
    path: Path | None

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0


def history(
    pipeline: Pipeline | str | Path,
    files: Mapping[str, History],
    *,
    out: Path | None = None,
    received: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> FeatureTable:
    """Compute the features of a pipeline over history: each row as it would have been served at its moment.

    No model runs, nothing is learned or measured, and labels are read only where windows are fed by them. The values
    are those of the predictions of :func:`stream_ml.replay`, and of a live run, to the last bit.

    Parameters
    ----------
    pipeline
        A pipeline, or the file that defines one.
    files
        For each topic a file (NDJSON, CSV, Parquet), several files, records, or ``kafka://host:port``, as for
        :func:`stream_ml.replay`. Parquet is by far the fastest.
    out
        A Parquet file to write, instead of a table in memory; a folder gets ``features.parquet``.
    received, progress
        As for :func:`stream_ml.replay`.

    Raises
    ------
    UsageError
        When a topic is missing or unknown, the labels are missing though windows are fed by them, a label stream has
        neither a received column nor ``time=``, or pyarrow is missing.
    InputError
        When a file is missing, damaged, lacks a column, or none of its rows can be read as its class.
    StorageError
        When the file cannot be written.

    Examples
    --------
    >>> from stream_ml.demos.cards import pipeline
    >>> first = {"payment": "p1", "card": "c1", "terminal": "t1", "amount": 12.5, "at": "2026-01-05T09:00:00Z"}
    >>> second = {**first, "payment": "p2", "at": "2026-01-05T09:30:00Z"}
    >>> found = history(pipeline, {"payments": [first, second], "chargebacks": []})
    >>> found.table.select(["payment", "n_10m", "n_1h", "gap"]).to_pylist()[1]
    {'payment': 'p2', 'n_10m': 1, 'n_1h': 2, 'gap': 1800.0}
    """
    declared = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
    warm()
    session = FeatureSession(declared)
    wanted, told = _wanted(declared, session, files)
    sources, warnings = open_sources(declared, session.spec.streams, wanted, received or {})
    refusals = _Refusals({source.name: _file(files[source.topic], source.name) for source in sources})
    path = None if out is None else out if out.suffix == ".parquet" else out / "features.parquet"
    records = rows = 0
    begun = time.perf_counter()
    with Tables(session.fields, session.symbols, path) as tables:
        for runs in turns(sources, TURN):
            columns, bad = session.feed(runs)
            rows += columns[0].size
            tables.add(columns)
            records += sum(len(run.values) for run in runs)
            refusals.add(runs, bad)
            if progress is not None:
                progress(records, None)
        refusals.end()
        table = tables.finish()
    seconds = time.perf_counter() - begun
    told += warnings + disorders(sources) + refusals.warnings()
    counters = {**session.counters, "refused": dict(sorted(refusals.reasons.items()))}
    return FeatureTable(table, rows, records, seconds, counters, tuple(refusals.found), tuple(told), path)


def _wanted(
    pipeline: Pipeline, session: FeatureSession, files: Mapping[str, History]
) -> tuple[dict[str, History], list[str]]:
    """Return the history of the topics that are read, and what to say of the label's."""
    label = session.label_topic
    if label is None or label == session.topics[0]:
        return dict(files), []
    if session.reads_labels:
        if label not in files:
            cause = f"features of {pipeline.name!r} are windows of its labels, and no history of {label} is given"
            raise UsageError(cause, f"Add {label}=FILE; an empty one says that nothing was ever told")
        return dict(files), []
    rest = {topic: given for topic, given in files.items() if topic != label}
    unread = f"{label} is not read: no feature of {pipeline.name!r} is a window of its labels"
    return rest, [unread] if label in files else []


def _file(given: History, source: str) -> str:
    """Return the name of the file behind a source of one topic."""
    number = int(source.rpartition("/")[2])
    several = isinstance(given, list | tuple) and all(isinstance(one, str | Path) for one in given)
    named = given[number] if several and number < len(given) else given  # type: ignore[arg-type, index]
    return str(named) if isinstance(named, str | Path) else source


class _Refusals:
    """Counts refused records, and says of the first ones where they stand."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.reasons: Counter[str] = Counter()
        self.found: list[Refused] = []
        self._fed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._first: dict[str, Refused] = {}

    def add(self, runs: Sequence[Run], bad: Sequence[tuple[str, int, Bad]]) -> None:
        """Take what a turn refused: (topic, offset, what is wrong)."""
        for run in runs:
            self._fed[run.source] += len(run.values)
        for topic, offset, one in bad:
            self.reasons[one.reason.value] += 1
            source, row = _place(runs, topic, offset)
            self._refused[source] += 1
            if source not in self._first or len(self.found) < TOLD:
                cure = CURES.get(one.reason, ANY_CURE)
                told = Refused(self._names[source], row + 1, one.reason.value, one.path, one.message, cure)
                self._first.setdefault(source, told)
                self.found += [told] if len(self.found) < TOLD else []
        self._check(HOPELESS)

    def end(self) -> None:
        """Refuse a source of which nothing was accepted."""
        self._check(1)

    def _check(self, least: int) -> None:
        for source, count in self._refused.items():
            if count >= least and count == self._fed[source]:
                first = self._first[source]
                cause = f"no row of {first.source} can be read; row {first.row}, {first.path}: {first.message}"
                raise InputError(cause, first.cure)

    def warnings(self) -> list[str]:
        """Say how many records of each source were refused, and the first of them."""
        return [
            f"{self._refused[source]:,} of {self._fed[source]:,} records are refused as they would be live, first "
            f"{told}"
            for source, told in self._first.items()
        ]


def _place(runs: Sequence[Run], topic: str, offset: int) -> tuple[str, int]:
    """Return the source of a record, and its row there."""
    for run in runs:
        if run.source.rpartition("/")[0] == topic:
            at = np.flatnonzero(run.offsets == offset)
            if at.size:
                return run.source, run.first + int(at[0])
    return runs[0].source, offset


__all__ = ["FeatureTable", "Refused", "history"]

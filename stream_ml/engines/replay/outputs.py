"""What a replay gives: files of outputs, or outputs in memory, and the counts of what came of the records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from stream_ml.errors import StorageError
from stream_ml.schema.records import Out
from stream_ml.sessions.session import Session

#: Outputs that are written as they come, by the last part of their topic.
STREAMS = ("predictions", "examples", "dead", "alarms", "metrics")
METRICS = "metrics.json"
BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    Parameters
    ----------
    records, seconds
        How many records were fed, and how long that took, compiling apart.
    counters
        As :attr:`stream_ml.sessions.session.Session.stats`: events, predictions, examples, dead letters by reason, …
    metrics
        Every metric at the end: ``name, slice, window, value, n, at, version``.
    outputs
        With ``collect=True``, the outputs as JSON bytes by kind: predictions, examples, dead, alarms, metrics.
    files
        With `out`, the files that were written, by kind.
    warnings
        What to know about the history itself.
    session
        As it stands after the last record.
    """

    records: int
    seconds: float
    counters: dict[str, Any]
    metrics: list[dict[str, Any]]
    outputs: dict[str, list[bytes]]
    files: dict[str, Path]
    warnings: tuple[str, ...]
    session: Session = field(repr=False)

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0

    def metric(self, name: str, window: str = "all", **slice_: object) -> float | None:
        """Return one metric at the end, None where nothing was measured.

        Parameters
        ----------
        name
            Such as ``"roc_auc"``.
        window
            ``"all"``, or ``"last10000"`` over the last N labels.
        slice_
            A slice column and its value; without one, over all.
        """
        wanted = slice_ or {}
        for one in self.metrics:
            if (one["name"], one["window"]) == (name, window) and (one["slice"] or {}) == wanted:
                value: float | None = one["value"]
                return value
        return None


class Files:
    """Writes outputs to a folder: under other names while the replay runs, renamed when it is done.

    Order of calls: :meth:`write` for each turn, :meth:`finish`; used as a context, which removes what was not finished.

    Raises
    ------
    StorageError
        When the folder or a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = {kind: folder / f"{kind}.ndjson" for kind in STREAMS}
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> Files:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for kind, path in self._paths.items():
                self._open[kind] = _part(path).open("wb", buffering=BUFFER)
        except OSError as error:
            raise _failed(self._folder, error) from error
        return self

    def write(self, out: Sequence[Out]) -> None:
        """Append the outputs of a turn."""
        try:
            for one in out:
                self._open[kind_of(one)].write(one.blob)
        except OSError as error:
            raise _failed(self._folder, error) from error

    def finish(self, summary: dict[str, Any]) -> dict[str, Path]:
        """Write the summary, give the files their names, and return them by kind."""
        found = {**self._paths, "summary": self._folder / METRICS}
        try:
            for file in self._open.values():
                file.close()
            _part(found["summary"]).write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
            for path in found.values():
                os.replace(_part(path), path)
        except OSError as error:
            raise _failed(self._folder, error) from error
        self._open = {}
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, file in self._open.items():
            file.close()
            _part(self._paths[name]).unlink(missing_ok=True)


def kind_of(out: Out) -> str:
    """Return what an output is by the last part of its topic."""
    return out.topic.rpartition(".")[2]


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _failed(folder: Path, error: OSError) -> StorageError:
    cause = f"The outputs cannot be written to {folder} ({error.strerror or error})"
    return StorageError(cause, "Name a folder that can be written, with room")

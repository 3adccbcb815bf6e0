"""What is measured: the worker, or a program that takes its place between the same generator and the same reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stream_ml.bench.processes import Child
from stream_ml.bench.stand import Stand


def _worker(place: Stand, until_end: bool) -> Child:
    return place.worker(until_end=until_end)


def _nothing() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A program under measurement.

    Parameters
    ----------
    start
        Starts it at a place; the second argument says whether it ends when everything is read. Once it serves it says
        "NAME on ..." on stderr, and in the end JSON as `stream-ml run --json` does.
    id_field
        The field of what it puts out that holds an event's id.
    meter
        Returns CPU seconds of what serves it, such as a broker; read when it is ready and when it has ended.
    """

    start: Callable[[Stand, bool], Child] = _worker
    id_field: str = "id"
    meter: Callable[[], float] = _nothing


WORKER = Subject()

"""Merging the runs of several sources into one sequence: by received time, events before labels, then offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream_ml.schema.lines import joined, taken
from stream_ml.schema.records import Fed, Run, Topics
from stream_ml.schema.verdict import Bad


def merge(runs: Sequence[Run], now: int, ranks: dict[str, int]) -> Fed:
    """Return the records of a turn in the order in which they are fed.

    Parameters
    ----------
    runs
        One a source. The records of one run keep their order.
    now
        The task's last received time, epoch ms: received times never go below it, never above the run's cap.
    ranks
        Rank of each topic among records received at the same moment: tables, events, others, labels.
    """
    runs = [run for run in runs if len(run.values)]
    if not runs:
        nothing = np.zeros(0, np.int64)
        return Fed((), nothing, nothing, nothing, [])
    topics = [Topics.of(run.topics) for run in runs]
    names = tuple(dict.fromkeys(name for one in topics for name in one.names))
    numbers = [one.numbers if one.names == names else _renumbered(one, names) for one in topics]
    stamps = [_never_back(np.minimum(run.received, run.cap), now) for run in runs]
    if len(runs) == 1:
        run = runs[0]
        return Fed(names, numbers[0], run.offsets, stamps[0], run.values, run.bad)
    return _interleave(runs, names, numbers, stamps, ranks)


def _renumbered(topics: Topics, names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([names.index(name) for name in topics.names], np.int64)[topics.numbers]


def _never_back(received: NDArray[np.int64], now: int) -> NDArray[np.int64]:
    return np.maximum.accumulate(np.maximum(received, now))


def _interleave(
    runs: Sequence[Run],
    names: tuple[str, ...],
    numbers: list[NDArray[np.int64]],
    stamps: list[NDArray[np.int64]],
    ranks: dict[str, int],
) -> Fed:
    rank = np.array([ranks.get(name, 9) for name in names], np.int64)
    received = np.concatenate(stamps)
    topics = np.concatenate(numbers)
    offsets = np.concatenate([run.offsets for run in runs])
    source = np.repeat(np.arange(len(runs)), [len(run.values) for run in runs])
    order = _ordered(runs, rank, topics, source, received, offsets)
    bad: tuple[Bad, ...] = ()
    if any(run.bad for run in runs):
        back = np.empty(order.size, np.int64)
        back[order] = np.arange(order.size)
        starts = np.cumsum([0, *(len(run.values) for run in runs)])
        bad = tuple(
            replace(one, index=int(back[one.index + starts[i]])) for i, run in enumerate(runs) for one in run.bad
        )
    values = taken(joined([run.values for run in runs]), order)
    return Fed(names, topics.take(order), offsets.take(order), received.take(order), values, bad)


def _ordered(
    runs: Sequence[Run],
    rank: NDArray[np.int64],
    topics: NDArray[np.int64],
    source: NDArray[np.int64],
    received: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the order by received time, rank, source and offset."""
    keys = rank[topics]
    if bool((keys[1:] >= keys[:-1]).all()) and all(bool((np.diff(run.offsets) > 0).all()) for run in runs):
        return np.argsort(received, kind="stable")  # ranks, sources and offsets stand in order already
    return np.lexsort((offsets, source, keys, received))


def safe(stamps: Sequence[NDArray[np.int64]], ranks: Sequence[int], behind: Sequence[bool]) -> list[int]:
    """Return how many records of each source may be fed: those that nothing unread can precede.

    Parameters
    ----------
    stamps
        int64[n] of each source: received times of the records at hand, never falling, at least one.
    ranks
        Rank of each source among records received at the same moment; equal ranks go by the source's number.
    behind
        Whether the source holds more than what is at hand.

    Examples
    --------
    >>> safe([np.array([1, 5, 9]), np.array([2, 4])], [1, 2], [False, True])
    [1, 2]
    >>> safe([np.array([1, 4, 4]), np.array([2, 4])], [1, 2], [True, True])
    [3, 1]
    """
    last = [(int(one[-1]), ranks[i], i) for i, one in enumerate(stamps) if behind[i]]
    if not last:
        return [one.size for one in stamps]
    moment, rank, number = min(last)
    return [
        int(np.searchsorted(one, moment, "right" if (ranks[i], i) <= (rank, number) else "left"))
        for i, one in enumerate(stamps)
    ]


def earliest(
    stamps: Sequence[NDArray[np.int64]], ranks: Sequence[int], counts: Sequence[int], limit: int
) -> list[int]:
    """Return how many of each source's first `counts` records are among the first `limit` of all.

    Examples
    --------
    >>> earliest([np.array([1, 5, 9]), np.array([2, 4])], [1, 2], [3, 2], 3)
    [1, 2]
    """
    counts = [min(n, limit) for n in counts]
    received = np.concatenate([one[:n] for one, n in zip(stamps, counts, strict=True)])
    number = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((number, np.array(ranks)[number], received))
    counted: list[int] = np.bincount(number[order[:limit]], minlength=len(counts)).tolist()
    return counted

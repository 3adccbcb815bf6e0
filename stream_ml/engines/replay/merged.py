"""Sources merged by received time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from stream_ml.engines.replay.sources import Source
from stream_ml.schema.records import Run, Topics
from stream_ml.sessions.merge import earliest, safe


def turns(sources: Sequence[Source], limit: int) -> Iterator[list[Run]]:
    """Yield the runs of one turn after the other, at most `limit` records each.

    Records come in the order (received, rank of the topic, number of the source, row). A source's records that were
    not read yet are no earlier than the last one that was: the first source to run dry holds the others back there,
    until its next batch is read. So one batch a source is in memory. A record's offset is its row; where a topic has
    several sources, its place in the order in which they are merged.

    Parameters
    ----------
    sources
        In the order that counts among records of one moment and rank.
    limit
        Most records of a turn.
    """
    shared = {source.topic: 0 for i, source in enumerate(sources) if source.topic in [s.topic for s in sources[:i]]}
    while True:
        live = [source for source in sources if source.fill()]
        if not live:
            return
        ranks = [source.rank for source in live]
        counts = safe([source.waiting for source in live], ranks, [True] * len(live))
        while total := sum(counts):
            waiting = [source.waiting for source in live]
            part = counts if total <= limit else earliest(waiting, ranks, counts, limit)
            runs = [source.take(n) for source, n in zip(live, part, strict=True) if n]
            for topic, first in tuple(shared.items()):
                runs, shared[topic] = _numbered(runs, topic, first)
            yield runs
            counts = [count - n for count, n in zip(counts, part, strict=True)]


def _numbered(runs: list[Run], topic: str, first: int) -> tuple[list[Run], int]:
    """Give the records of one topic numbers in merged order from `first` on; also return the number after the last."""
    mine = [i for i, run in enumerate(runs) if Topics.of(run.topics).names == (topic,)]
    if not mine:
        return runs, first
    order = np.argsort(np.concatenate([runs[i].received for i in mine]), kind="stable")
    offsets = np.empty(order.size, np.int64)
    offsets[order] = first + np.arange(order.size)
    ends = np.cumsum([len(runs[i].values) for i in mine])
    found = list(runs)
    for i, part in zip(mine, np.split(offsets, ends[:-1]), strict=True):
        found[i] = replace(runs[i], offsets=part)
    return found, first + order.size


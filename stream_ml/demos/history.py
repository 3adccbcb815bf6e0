"""A year of history as a local log would hold it, had it been there at the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from stream_ml.client.database import Access, failures, open_database, transaction
from stream_ml.config.settings import Durable
from stream_ml.engines.replay.moments import OwnTime
from stream_ml.schema.blocks import blocks
from stream_ml.scorer.spec import Stream

ROWS = 20_000
_APPEND = "INSERT INTO log (topic, received, value) VALUES (?, ?, ?)"


def append(
    database: Path, files: Mapping[str, Path], times: Sequence[tuple[Stream, str]], progress: Callable[[int, int], None]
) -> int:
    """Append the records of files to a log, merged by their own time, which becomes the time they were received.

    Producers cannot do this (`stream-ml produce` stamps what it appends): only a log that is made whole from history
    may say when its records came.

    Parameters
    ----------
    database
        The SQLite file; made if it is not there.
    files
        An NDJSON file for each topic.
    times
        Streams, each with its time field, in the order that counts among records of one moment.
    progress
        Called with the rows appended and the rows in all.

    Returns
    -------
    int
        How many rows were appended.
    """
    topics: list[str] = []
    values: list[list[bytes]] = []
    moments = []
    for stream, field in times:
        lines = b"".join(blocks(files[stream.topic])).split(b"\n")[:-1]
        topics.append(stream.topic)
        values.append(lines)
        moments.append(OwnTime(stream.model, field).read(lines).astype(np.int64))
    which = np.repeat(np.arange(len(topics)), [len(lines) for lines in values])
    place = np.concatenate([np.arange(len(lines)) for lines in values])
    received = np.concatenate(moments)
    order = np.lexsort((place, which, received))
    rows = zip(which[order].tolist(), received[order].tolist(), place[order].tolist(), strict=True)
    found = ((topics[i], moment, values[i][at]) for i, moment, at in rows)
    with failures(database):
        connection = open_database(database, Access.WRITE, Durable.NORMAL)
        try:
            for begin in range(0, order.size, ROWS):
                with transaction(connection):
                    connection.executemany(_APPEND, islice(found, ROWS))
                progress(min(begin + ROWS, order.size), order.size)
        finally:
            connection.close()
    return int(order.size)

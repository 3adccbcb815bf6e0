"""The records of one turn in the order in which they are fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_ml.schema.lines import Lines
from stream_ml.schema.verdict import Bad


@dataclass(frozen=True, slots=True)
class Topics:
    """The topic of each record, as a number.

    Parameters
    ----------
    names
        The topics, each once, in the order of their first records.
    numbers
        int64[n]: which of them.

    Examples
    --------
    >>> topics = Topics.of(["clicks", "views", "clicks"])
    >>> topics.names, topics.numbers.tolist()
    (('clicks', 'views'), [0, 1, 0])
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, topics: Topics | Sequence[str]) -> Topics:
        """Give each topic its number."""
        if isinstance(topics, Topics):
            return topics
        number = {name: i for i, name in enumerate(dict.fromkeys(topics))}
        if len(number) == 1:
            return cls(tuple(number), np.zeros(len(topics), np.int64))
        return cls(tuple(number), np.fromiter(map(number.__getitem__, topics), np.int64, len(topics)))


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one source, in its order.

    Parameters
    ----------
    source
        Name of the log they come from.
    first, end
        First offset and one past the last, as the source numbers them.
    cap
        The engine's clock when they were fetched, epoch ms: no received time counts for more.
    topics
        Topic of each record.
    offsets, received
        int64[n]: place in the source, the log's time stamp (epoch ms).
    keys, values
        Bytes of each record; a null value is b"".
    bad
        Records that the source itself could not read, such as damaged rows of a file.
    kept
        Whether the source may not hold them later, so that the journal keeps their bytes.
    """

    source: str
    first: int
    end: int
    cap: int
    topics: Topics | Sequence[str]
    offsets: NDArray[np.int64]
    received: NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    bad: tuple[Bad, ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Fed:
    """Records in merged order, with the received time that counts.

    Parameters
    ----------
    topics
        Number of each record's topic in `names`.
    received
        int64[n], never going back.
    """

    names: tuple[str, ...]
    topics: NDArray[np.int64]
    offsets: NDArray[np.int64]
    received: NDArray[np.int64]
    values: Sequence[bytes]
    bad: tuple[Bad, ...] = ()

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Out:
    """Records for one topic.

    Parameters
    ----------
    blob
        The records as lines of JSON, each ended by a line feed.
    """

    topic: str
    blob: bytes

    @property
    def values(self) -> list[bytes]:
        """The records one by one."""
        return self.blob.split(b"\n")[:-1]

    @property
    def lines(self) -> Lines:
        """The records where they are."""
        lines = Lines.split(self.blob)
        return Lines(lines.block, lines.begins[:-1], lines.ends[:-1])

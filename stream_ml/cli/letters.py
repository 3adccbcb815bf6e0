"""Dead letters of a log, whichever it is: how they are found, and where the records behind them are."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from stream_ml.client.address import database_path, kafka_servers


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Parameters
    ----------
    id
        What a person calls it: its row in a file, partition/offset on Kafka.
    written
        When it was written, epoch ms.
    topic, partition, offset, received
        Of the record that was refused; epoch ms.
    raw, size
        Its first bytes, and how many it has.
    """

    id: int | str
    pipeline: str
    written: int
    reason: str
    topic: str
    partition: int
    offset: int
    received: int
    path: str
    message: str
    raw: bytes
    size: int

    @property
    def whole(self) -> bool:
        """Whether it holds all of the record."""
        return len(self.raw) == self.size

    def is_of(self, value: bytes) -> bool:
        """Tell whether a record's value is what was refused."""
        return len(value) == self.size and value.startswith(self.raw)


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as its log still holds it."""

    key: bytes | None
    value: bytes


def letter_of(id_: int | str, pipeline: str, written: int, told: Mapping[str, Any]) -> Letter:
    """Return a letter from the JSON of its record."""
    return Letter(
        id_, pipeline, written, told["reason"], told["topic"], told["partition"], told["offset"], told["received"],
        told["path"], told["message"], base64.b64decode(told["raw"] or ""), told["size"],
    )  # fmt: skip


class Letters(Protocol):
    """The dead letters of a log; a context manager."""

    #: How ids are called.
    label: str

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def every(self, pipeline: str | None, reason: str | None) -> Iterator[Letter]:
        """Read those that are there now, each partition's oldest first."""

    def newest(self, pipeline: str | None, reason: str | None, limit: int) -> list[Letter]:
        """Return some, the newest last."""

    def one(self, id_: str, pipeline: str | None) -> Letter:
        """Return one.

        Raises
        ------
        UsageError
            If the id is none.
        """

    def kept(self, letter: Letter) -> Kept | None:
        """Return the record that was refused as its log still holds it, None where it is gone."""

    def produce(self, letter: Letter, kept: Kept | None, key: str | None) -> str:
        """Append the record to its topic again; returns where it stands now.

        Parameters
        ----------
        kept
            As its log holds it; None where only the letter does.
        key
            Field that the key is made of where the log no longer tells it.

        Raises
        ------
        InputError
            If the record cannot be produced as it was.
        """


def letters_of(url: str) -> Letters:
    """Return the dead letters of a log."""
    servers = kafka_servers(url)
    if servers is None:
        from stream_ml.cli.letters_file import FileLetters  # noqa: PLC0415 - one of the two is enough

        return FileLetters(database_path(url))
    from stream_ml.cli.letters_kafka import KafkaLetters  # noqa: PLC0415

    return KafkaLetters(url)

"""`connect(url)`: append records to topics and read them back, from any process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from stream_ml.client.address import database_path
from stream_ml.client.database import BUSY_MS, Access, failures, open_database, transaction
from stream_ml.client.follow import Follow
from stream_ml.client.log import Checkpointer, Log, Row
from stream_ml.config.settings import Durable
from stream_ml.errors import UsageError

Start = Literal["start", "end"] | int
Value = dict[str, Any] | BaseModel | bytes | str

CHUNK = 2_000  # records of one transaction
CHUNK_BYTES = 8 << 20
WAL_BYTES = 64 << 20  # where no worker runs, producers checkpoint at this size


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the log.

    Parameters
    ----------
    row
        Row number: its place in the log.
    topic
        Its topic.
    received
        When the log took it, epoch ms UTC.
    key
        Its key, if it has one.
    value
        Its bytes, as they were produced.
    """

    row: int
    topic: str
    received: int
    key: str | None
    value: bytes

    def json(self) -> Any:
        """Parse the value; where it is no JSON, give the bytes themselves."""
        try:
            return orjson.loads(self.value)
        except orjson.JSONDecodeError:
            return self.value


def connect(url: str, *, durable: Literal["full", "normal"] = "full") -> Client:
    """Make a client for producers and consumers of a log.

    Parameters
    ----------
    url
        `sqlite:///fraud.db` (relative) or `sqlite:////srv/fraud.db` (absolute). The first `produce` makes the file.
    durable
        `full`: a record that was acknowledged survives power loss; `normal`: kill -9 only.

    Raises
    ------
    UsageError
        If the URL names no file.

    Examples
    --------
    >>> import tempfile
    >>> with connect(f"sqlite:///{tempfile.mkdtemp()}/fraud.db") as log:
    ...     rows = log.produce("payments", [{"payment": "p1", "amount": 12.5}, {"payment": "p2", "amount": 3.0}])
    ...     payments = list(log.consume("payments"))
    >>> rows
    [1, 2]
    >>> payments
    [{'payment': 'p1', 'amount': 12.5}, {'payment': 'p2', 'amount': 3.0}]
    """
    try:
        return Client(database_path(url), Durable(durable))
    except ValueError as error:
        msg = f"durable={durable!r} is not known"
        raise UsageError(msg, 'Write "full" or "normal"') from error


class Client:
    """Producer and consumer of one file: `produce`, `consume` or `records`, then `close`.

    One client belongs to one thread. Each consumer reads over a connection of its own.
    """

    def __init__(self, path: Path, durable: Durable) -> None:
        self.path = path
        self._durable = durable
        self._log: Log | None = None
        self._checkpointer: Checkpointer | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was acknowledged is in it."""
        if self._log is not None:
            with failures(self.path):
                self._log.connection.close()
        self._log = None

    def produce(self, topic: str, records: Iterable[Value], *, key: str | None = None) -> list[int]:
        """Append records to a topic; when it returns, they are stored.

        Parameters
        ----------
        topic
            Where to append.
        records
            dicts, instances of event classes, or bytes and text that are stored as they are. Chunks of at most 2,000
            records and about 8 MiB are one transaction each; if a later chunk fails, the earlier ones stay.
        key
            Field of the records that becomes the row's key; without it rows have none.

        Returns
        -------
        list of int
            Row number of each record.

        Raises
        ------
        BusyError, StorageError, CorruptError, UsageError
            Nothing of the chunk was stored.
        """
        return [row for chunk in self.produce_chunks(topic, records, key=key) for row in chunk]

    def produce_chunks(self, topic: str, records: Iterable[Value], *, key: str | None = None) -> Iterator[range]:
        """Like `produce`, but gives each chunk's row numbers as soon as it is stored: for long inputs."""
        if not topic:
            msg = "A topic needs a name"
            raise UsageError(msg)
        source = iter(records)
        while chunk := _chunk(source):
            keys = None if key is None else [_key(record, key) for record in chunk]
            yield self._append(topic, [_encode(record) for record in chunk], keys)

    def _append(self, topic: str, values: list[bytes], keys: list[str | None] | None) -> range:
        with failures(self.path):
            if self._log is None:
                self._log = Log(open_database(self.path, Access.WRITE, self._durable))
                self._checkpointer = Checkpointer(self._log.connection, WAL_BYTES, BUSY_MS)
            log = self._log
            with transaction(log.connection):
                first = log.append(topic, log.stamp(), values, keys)
            if self._checkpointer is not None:
                self._checkpointer.after_commit()
        return range(first, first + len(values))

    def consume(
        self, topic: str, start: Start = "start", *, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Any]:
        """Read a topic in row order, as JSON (dicts); a value that is no JSON comes as bytes.

        Parameters
        ----------
        topic
            What to read.
        start
            `"start"`, `"end"` (only what comes from now on) or a row number.
        follow
            Go on waiting for more at the end.
        timeout
            With `follow`: end when nothing has come for so many seconds.

        Raises
        ------
        InputError
            If there is no such file.
        """
        for batch in self.batches((topic,), start, follow=follow, timeout=timeout):
            for record in batch:
                yield record.json()

    def records(
        self, topic: str, start: Start = "start", *, follow: bool = False, timeout: float | None = None
    ) -> Iterator[Record]:
        """Like `consume`, with row number, received time, key and the bytes as they are."""
        for batch in self.batches((topic,), start, follow=follow, timeout=timeout):
            yield from batch

    def batches(
        self,
        topics: Sequence[str],
        start: Start = "start",
        *,
        follow: bool = False,
        timeout: float | None = None,
        size: int = 2_000,
    ) -> Iterator[list[Record]]:
        """Read some topics in lists of at most `size`, as they are found."""
        if isinstance(start, str) and start not in {"start", "end"}:
            msg = f"start={start!r} is not known"
            raise UsageError(msg, 'Write "start", "end" or a row number')
        with failures(self.path):
            log = Log(open_database(self.path, Access.READ))
            waiting = Follow(log.connection, self.path)
            try:
                place = start if isinstance(start, int) else (log.end() if start == "end" else 1)
                while True:
                    waiting.mark()
                    part = log.read(place, topics, size)
                    place = part.end
                    if part.rows:
                        yield [_record(row) for row in part.rows]
                    elif not follow or not _more(waiting, timeout):
                        return
            finally:
                waiting.close()
                log.connection.close()


def _more(waiting: Follow, timeout: float | None) -> bool:
    if timeout is not None:
        return waiting.wait(timeout)
    while not waiting.wait(60.0):
        pass
    return True


def _record(row: Row) -> Record:
    return Record(*row)


def _chunk(source: Iterator[Value]) -> list[Value]:
    """Take the next records of one transaction; fewer where raw records are large."""
    chunk: list[Value] = []
    size = 0
    for record in islice(source, CHUNK):
        chunk.append(record)
        size += len(record) if isinstance(record, bytes | str) else 0
        if size >= CHUNK_BYTES:
            break
    return chunk


def _encode(record: Value) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode()
    if isinstance(record, BaseModel):
        return record.model_dump_json(by_alias=True).encode()
    try:
        return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        msg = f"The record {record!r} cannot be written as JSON: {error}"
        raise UsageError(msg) from error


def _key(record: Value, name: str) -> str | None:
    if isinstance(record, BaseModel):
        value = getattr(record, name, None)
    elif isinstance(record, dict):
        value = record.get(name)
    else:
        try:
            parsed = orjson.loads(record)
        except orjson.JSONDecodeError:
            return None
        value = parsed.get(name) if isinstance(parsed, dict) else None
    return None if value is None else str(value)

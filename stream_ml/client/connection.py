"""`connect(url)`: append records to topics and read them back, from any process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from stream_ml.client.address import database_path, kafka_servers, no_aiokafka
from stream_ml.client.database import BUSY_MS, Access, failures, open_database, transaction
from stream_ml.client.follow import Follow
from stream_ml.client.log import Checkpointer, Log, Row
from stream_ml.client.records import Record, Start, Value, chunk_of, encoded, field_of, require_start
from stream_ml.config.settings import Durable
from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from stream_ml.client.kafka import KafkaClient

WAL_BYTES = 64 << 20  # where no worker runs, producers checkpoint at this size


def connect(url: str, *, durable: Literal["full", "normal"] = "full") -> Client | KafkaClient:
    """Make a client for producers and consumers of a log.

    Parameters
    ----------
    url
        `sqlite:///fraud.db` (relative) or `sqlite:////srv/fraud.db` (absolute): the first `produce` makes the file.
        `kafka://host:port`, more brokers with commas: nothing is asked of them before the first call.
    durable
        Of a file. `full`: a record that was acknowledged survives power loss; `normal`: kill -9 only.

    Raises
    ------
    UsageError
        If the URL names no log, or aiokafka is not installed.

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
    servers = kafka_servers(url)
    if servers is not None:
        if durable != "full":
            msg = f"durable={durable!r} does not go with Kafka"
            raise UsageError(msg, "There a record is acknowledged when every replica in sync has it")
        return _kafka(servers)
    try:
        return Client(database_path(url), Durable(durable))
    except ValueError as error:
        msg = f"durable={durable!r} is not known"
        raise UsageError(msg, 'Write "full" or "normal"') from error


def _kafka(servers: str) -> KafkaClient:
    try:
        from stream_ml.client.kafka import KafkaClient  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        raise no_aiokafka() from error
    return KafkaClient(servers)


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
        while chunk := chunk_of(source):
            keys = None if key is None else [_key(record, key) for record in chunk]
            yield self.append(topic, [encoded(record) for record in chunk], keys)

    def append(self, topic: str, values: list[bytes], keys: list[str | None] | None) -> range:
        """Append values with their keys in one transaction; gives their row numbers."""
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
        require_start(start)
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


def _key(record: Value, name: str) -> str | None:
    value = field_of(record, name)
    return None if value is None else str(value)

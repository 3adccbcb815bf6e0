"""Writes the turns of one task: all records of a turn are one transaction, its journal entry the last of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest
from aiokafka.structs import RecordMetadata

from stream_ml.engines.kafka.batches import Headers, packed
from stream_ml.engines.kafka.client import LostError, cancelled, deadline
from stream_ml.schema.lines import Lines

#: Of one batch of records: below the brokers' default for the largest message.
BATCH_BYTES = 900_000
_TRANSACTION = (InitProducerIdRequest, AddPartitionsToTxnRequest, EndTxnRequest)


@dataclass(frozen=True, slots=True)
class Part:
    """Records for one partition.

    Parameters
    ----------
    keys, values
        Of each record. Lines have no keys, which is told by None for all of them.
    headers
        Of every record of the part.
    """

    to: TopicPartition
    keys: Sequence[bytes | None] | None
    values: Sequence[bytes]
    headers: Headers = field(default_factory=list)


class Writer:
    """A transactional producer.

    States: made → `open` → (`begin`? → `commit`)* → `close`. After any error it is good for nothing: the outcome of the
    last transaction may be unknown, and only a new `open` under the same id, followed by a look at the journal, tells.

    Parameters
    ----------
    client
        What every client is made with.
    transactional_id
        The task's.
    wait_s
        Deadline of every wait, seconds.
    """

    def __init__(
        self, client: Mapping[str, Any], transactional_id: str, wait_s: float, timeout_ms: int, compression: str | None
    ) -> None:
        self.transactional_id = transactional_id
        self._wait_s, self._compression = wait_s, compression
        self._dirty = self._spent = False
        self._began: float | None = None
        self._producer = AIOKafkaProducer(
            **client,
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
            acks="all",
            max_batch_size=BATCH_BYTES,
            compression_type=compression,
            linger_ms=0,
        )
        self._watch_transaction_requests()

    async def open(self) -> None:
        """Take over the id: whoever held it is fenced, its open transaction aborted."""
        async with deadline(self._wait_s, f"acquiring {self.transactional_id}"):
            await self._producer.start()

    @property
    def epoch(self) -> str:
        """Producer id and epoch, for those who read the logs later."""
        manager = self._producer._txn_manager  # noqa: SLF001 - aiokafka has no public name for it
        return f"{manager.producer_id}/{manager.producer_epoch}"

    @property
    def began_s(self) -> float:
        """For how many seconds a transaction has been open without a turn; 0 where none is."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    async def begin(self, to: Iterable[TopicPartition]) -> None:
        """Begin the next turn's transaction while its records still gather.

        The brokers let nobody into a transaction before the markers of the last one are written: that wait and the
        request that names the partitions are over when the turn comes.

        Parameters
        ----------
        to
            Where the turn will write; those that it does not write to cost it a marker each.

        Raises
        ------
        LostError, FencedError
            As `commit`.
        """
        if self._began is not None or self._spent:
            return
        self._spent = True
        async with deadline(self._wait_s, f"beginning a turn of {self.transactional_id}"):
            await self._producer.begin_transaction()
            self._announce(to)
        self._spent, self._began = False, time.monotonic()

    async def commit(self, parts: Sequence[Part]) -> list[RecordMetadata]:
        """Write a turn.

        Steps: 1 begin, where `begin` has not; 2 hand over every part, the journal entry last; 3 wait until each batch
        is acknowledged, since aiokafka would commit without those that failed; 4 commit. Nobody sees any of it before
        the end of step 4.

        Returns
        -------
        list of RecordMetadata
            Where the first record of each part stands.

        Raises
        ------
        LostError, FencedError
            The outcome is unknown, or the turn was not written.
        """
        if self._spent:
            cause = f"a turn of {self.transactional_id}: the one before it failed"
            raise LostError(cause)
        producer, began = self._producer, self._began is not None
        self._spent, self._began = True, None
        async with deadline(self._wait_s, f"a turn of {self.transactional_id}"):
            try:
                if not began:
                    await producer.begin_transaction()
                self._announce([part.to for part in parts])
                sent = [await self._send(part) for part in parts]
            except IllegalOperation as error:  # its sender has met an error meanwhile, such as being fenced
                raise producer._txn_manager._transaction_waiter.exception() or error  # noqa: SLF001, B904
            await asyncio.gather(*chain.from_iterable(sent))
            await producer.commit_transaction()
        if self._dirty:
            cause = f"a turn of {self.transactional_id}: a request of its transaction failed, the outcome is unknown"
            raise LostError(cause)
        self._spent = False
        return [futures[0].result() for futures in sent]

    async def close(self, wait_s: float = 5.0) -> None:
        """Let go of the connections; what is not committed is aborted by the next owner or by time."""
        producer = self._producer
        try:
            async with asyncio.timeout(wait_s):
                if self._began is not None:
                    await producer.abort_transaction()
                await producer.stop()
        except BaseException as error:
            await producer.client.close()
            if isinstance(error, asyncio.CancelledError) and cancelled():
                raise

    async def _send(self, part: Part) -> list[Any]:
        """Hand a part over in batches; returns a future for each."""
        return [await self._hand_over(batch, part.to) for batch in self._batches(part, int(time.time() * 1000))]

    def _batches(self, part: Part, now: int) -> Iterator[BatchBuilder]:
        if isinstance(part.values, Lines):
            yield from packed(part.values, part.headers, now, BATCH_BYTES, self._compression)
            return
        batch = self._producer.create_batch()
        for key, value in zip(part.keys or (), part.values, strict=True):
            if batch.append(timestamp=now, key=key, value=value, headers=part.headers) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=now, key=key, value=value, headers=part.headers)
        if batch.record_count():
            yield batch

    async def _hand_over(self, batch: Any, to: TopicPartition) -> Any:
        """Return the future of a batch; a failure is told once, by whichever future is awaited first."""
        future = await self._producer.send_batch(batch, to.topic, partition=to.partition)
        waiting = self._producer._message_accumulator._batches.get(to, ())  # noqa: SLF001 - no public name
        for one in (future, *(made._drain_waiter for made in waiting)):  # noqa: SLF001
            one.add_done_callback(_heard)
        return future

    def _announce(self, partitions: Iterable[TopicPartition]) -> None:
        """Name every partition of the turn at once, so that one request adds them to the transaction."""
        manager = self._producer._txn_manager  # noqa: SLF001 - no public name
        manager._transaction_waiter.add_done_callback(_heard)  # noqa: SLF001
        for partition in partitions:
            manager.maybe_add_partition_to_txn(partition)

    def _watch_transaction_requests(self) -> None:
        """Remember any failure of a transaction's request: aiokafka tries again without telling.

        A repeated EndTxn may end the *next* transaction (KAFKA-14402), so after one nothing is certain.
        """
        send = self._producer.client.send

        async def watched(node: int, request: Any, **options: Any) -> Any:
            try:
                return await send(node, request, **options)
            except BaseException:
                self._dirty = self._dirty or isinstance(request, _TRANSACTION)
                raise

        self._producer.client.send = watched


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()

"""Takes fetched records out of aiokafka in columns, before it makes an object of each.

Of aiokafka's inside this uses the fetcher's buffer, and that its loop over fetched batches (checksums, aborted
transactions, markers) asks a reader of bytes for them, which is ours; tests/kafka/test_fetch.py holds it against
`getmany`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.fetcher import FetchError

from stream_ml.engines.kafka.batches import Batch, Batches, Block, Fetched, gathered

aiokafka_fetcher.MemoryRecords = Batches  # it is what aiokafka's own is, until it is told to give batches whole


async def fetched(
    consumer: AIOKafkaConsumer, wait_s: float, only: Collection[TopicPartition] = ()
) -> dict[TopicPartition, Block]:
    """Take what was fetched of all partitions, or of some; wait at most so long where there is nothing.

    Raises
    ------
    KafkaError
        What fetching met. Records of other partitions may be lost with it: begin anew from known positions.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - see above
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        found = _drained(fetcher, only)
        left = until - loop.time()
        if found or left <= 0:
            return found
        waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
        done, _ = await asyncio.wait([waiter], timeout=left)
        if not done:
            waiter.cancel()
            return {}
        waiter.result()


def _drained(fetcher: Any, only: Collection[TopicPartition]) -> dict[TopicPartition, Block]:
    found: dict[TopicPartition, Block] = {}
    for tp in [tp for tp in fetcher._records if not only or tp in only]:  # noqa: SLF001
        part = fetcher._records.pop(tp)  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
        if isinstance(part, FetchError):
            part.check_raise()
        elif part.check_assignment(tp):
            records = part._partition_records  # noqa: SLF001
            records._records.whole = True  # noqa: SLF001
            records._consumer_record = _as_it_is  # noqa: SLF001
            first = records.next_fetch_offset  # a batch may begin before it
            found[tp] = gathered(list(records)).since(first)
            part._update_position()  # noqa: SLF001
    return {tp: block for tp, block in found.items() if len(block)}


def _as_it_is(_tp: TopicPartition, found: Batch | Fetched) -> Batch | Fetched:
    return found

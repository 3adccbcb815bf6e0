"""Takes fetched records out of aiokafka as its compiled reader made them.

`getmany` makes a ConsumerRecord of eleven fields for each record, which costs more than all our own work on it. The
records underneath have what is needed: offset, timestamp, key, value. Of aiokafka's inside this uses the fetcher's
buffer and nothing else; tests/kafka/test_fetch.py holds it against `getmany`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError


class Fetched(Protocol):
    """A record as it was fetched; timestamps are epoch ms."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


async def fetched(
    consumer: AIOKafkaConsumer, wait_s: float, only: Collection[TopicPartition] = ()
) -> dict[TopicPartition, list[Fetched]]:
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


def _drained(fetcher: Any, only: Collection[TopicPartition]) -> dict[TopicPartition, list[Fetched]]:
    found: dict[TopicPartition, list[Fetched]] = {}
    for tp in [tp for tp in fetcher._records if not only or tp in only]:  # noqa: SLF001
        part = fetcher._records.pop(tp)  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
        if isinstance(part, FetchError):
            part.check_raise()
        elif part.check_assignment(tp):
            records = part._partition_records  # noqa: SLF001
            records._consumer_record = _as_it_is  # noqa: SLF001
            found[tp] = list(records)
            part._update_position()  # noqa: SLF001
    return {tp: records for tp, records in found.items() if records}


def _as_it_is(_tp: TopicPartition, record: Fetched) -> Fetched:
    return record

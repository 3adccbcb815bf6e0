"""aiokafka + river: the loop that one writes without a framework.

    python -m benchmarks.peers.with_aiokafka SERVERS NAME TOPIC ... [--records N]

At least once: a fetched batch is answered, its outputs are acknowledged, then (every 100 ms at the soonest) its offsets
are committed. Settings: `getmany` of whole fetches, 1 MiB a partition; outputs by `create_batch` and `send_batch`,
batches to 900 kB, acks=all, idempotent, linger 0; orjson; the collector frozen after the start. Outputs go to their
input's partition, so that they stay beside their keys.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.told import Asked, asked, ended, serves

BATCH_BYTES, FETCH_BYTES = 900_000, 1 << 20


class Loop:
    """Consumes, answers, produces, commits."""

    def __init__(self, told: Asked) -> None:
        self._told = told
        self.job = told.begin()
        self.turns = 0
        self.stopping = False

    async def run(self) -> None:
        """Run until told to stop, or until all records are done."""
        told = self._told
        consumer = AIOKafkaConsumer(
            *told.topics, bootstrap_servers=told.servers, group_id=told.name, enable_auto_commit=False,
            auto_offset_reset="earliest", max_partition_fetch_bytes=FETCH_BYTES,
        )  # fmt: skip
        producer = AIOKafkaProducer(
            bootstrap_servers=told.servers, acks="all", enable_idempotence=True, linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )  # fmt: skip
        await producer.start()
        await consumer.start()
        try:
            serves(told)
            await self._turns(consumer, producer)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _turns(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        loop, told = asyncio.get_running_loop(), self._told
        committed = loop.time()
        while not self.stopping:
            found = await consumer.getmany(timeout_ms=100)
            sent: list[Any] = []
            for place, records in found.items():
                made: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
                for record in records:
                    for kind, key, value in self.job.take(record.value, record.timestamp):
                        made[kind].append((key, orjson.dumps(value)))
                for kind, outputs in made.items():
                    sent += await self._send(producer, told.out(kind), place.partition, outputs)
            await asyncio.gather(*sent)
            done = bool(told.records) and self.job.taken >= told.records
            if done or loop.time() - committed >= told.interval_s:
                await consumer.commit()
                committed = loop.time()
                self.turns += 1
            if done:
                return

    @staticmethod
    async def _send(
        producer: AIOKafkaProducer, topic: str, partition: int, outputs: Sequence[tuple[bytes, bytes]]
    ) -> list[Any]:
        sent, batch = [], producer.create_batch()
        for key, value in outputs:
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sent.append(await producer.send_batch(batch, topic, partition=partition))
        return sent


async def run(loop: Loop) -> None:
    """Run until SIGTERM or the end."""

    def stop() -> None:
        loop.stopping = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    gc.collect()
    gc.freeze()
    await loop.run()


if __name__ == "__main__":
    made = Loop(asked(__doc__))
    asyncio.run(run(made))
    ended(made.turns)

"""Floors under any Python program on Kafka, in the worker's place between the bench's generator and reader.

    python -m benchmarks.kafka_floor echo|pass SERVERS NAME EVENTS LABELS [--until-end]

`echo`: aiokafka's getmany, the same bytes sent again. `pass`: getmany, JSON decoded, as many records as the cards
pipeline puts out of about their bytes encoded. Both send with `create_batch` and `send_batch`, one transaction a
fetched batch, begun no sooner than 10 ms after the last one began, with `BACKOFF_OVERRIDE` at 1 ms. Neither keeps
state, a journal or its position: they promise less than the worker does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

from benchmarks.drain import EXAMPLE, PREDICTION
from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.writer import BATCH_BYTES

INTERVAL_S, BACKOFF_S = 0.010, 0.001


class Floor:
    """One of the two programs.

    Parameters
    ----------
    coded
        Whether records are decoded and encoded; otherwise the same bytes are sent.
    name
        Prefix of the topics written: `.predictions` for events, `.examples` for labels.
    """

    def __init__(self, servers: str, name: str, events: str, labels: str, *, coded: bool) -> None:
        self._settings = KafkaSettings()
        self._servers, self._name, self._coded = servers, name, coded
        self._out = {events: f"{name}.predictions", labels: f"{name}.examples"}
        self.turns = 0
        self.stopping = False

    async def run(self, *, until_end: bool) -> None:
        """Consume and produce until told to stop, or until all is read that was there."""
        settings = self._settings
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, group_id=None, enable_auto_commit=False, isolation_level="read_committed",
            fetch_max_bytes=settings.fetch_bytes, max_partition_fetch_bytes=settings.partition_bytes,
        )  # fmt: skip
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers, transactional_id=f"{self._name}.floor", acks="all", linger_ms=0,
            max_batch_size=BATCH_BYTES, transaction_timeout_ms=settings.transaction_timeout_ms,
        )  # fmt: skip
        await consumer.start()
        await producer.start()
        try:
            places = [TopicPartition(topic, 0) for topic in self._out]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, 0)
            ends = await consumer.end_offsets(places)
            sys.stderr.write(f"{self._name} on {self._servers}\n")
            sys.stderr.flush()
            await self._loop(consumer, producer, ends if until_end else {})
        finally:
            await producer.stop()
            await consumer.stop()

    async def _loop(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, ends: dict[TopicPartition, int]
    ) -> None:
        loop = asyncio.get_running_loop()
        begun, at = 0.0, dict.fromkeys(ends, 0)
        while not self.stopping:
            await asyncio.sleep(begun + INTERVAL_S - loop.time())
            found = await consumer.getmany(timeout_ms=200)
            if not found:
                continue
            begun = loop.time()
            await producer.begin_transaction()
            sent: list[Any] = []
            for place, records in found.items():
                values = self._outputs(place.topic, records) if self._coded else [record.value for record in records]
                sent += await self._batches(producer, self._out[place.topic], values)
                at[place] = records[-1].offset + 1
            await asyncio.gather(*sent)
            await producer.commit_transaction()
            self.turns += 1
            if ends and all(at[place] >= end for place, end in ends.items()):
                return

    def _outputs(self, topic: str, records: Sequence[Any]) -> list[bytes]:
        made = [orjson.loads(record.value) for record in records]
        shape = PREDICTION if self._out[topic].endswith(".predictions") else EXAMPLE
        return [orjson.dumps({"id": one["payment"], "key": one["card"], **shape}) for one in made]

    @staticmethod
    async def _batches(producer: AIOKafkaProducer, topic: str, values: list[bytes]) -> list[Any]:
        sent, batch = [], producer.create_batch()
        for value in values:
            if batch.append(key=None, value=value, timestamp=None) is None:
                sent.append(await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
        sent.append(await producer.send_batch(batch, topic, partition=0))
        return sent


async def run(floor: Floor, *, until_end: bool) -> None:
    """Run until SIGTERM or the end."""

    def stop() -> None:
        floor.stopping = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await floor.run(until_end=until_end)


def main() -> None:
    """Be one of the programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=("echo", "pass"))
    for name in ("servers", "name", "events", "labels"):
        parser.add_argument(name)
    parser.add_argument("--until-end", action="store_true")
    typed = parser.parse_args()
    sender.BACKOFF_OVERRIDE = BACKOFF_S
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    floor = Floor(typed.servers, typed.name, typed.events, typed.labels, coded=typed.program == "pass")
    asyncio.run(run(floor, until_end=typed.until_end))
    print(json.dumps({"stats": {"entry": floor.turns}}))


if __name__ == "__main__":
    main()

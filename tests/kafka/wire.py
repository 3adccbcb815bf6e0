"""A broker played to aiokafka's own producer and consumer: what they ask is kept, what they are told is up to a test.

Everything above the socket is aiokafka's; only its network client's `send` and look-ups are answered here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import NoError
from aiokafka.record.default_records import DefaultRecordBatch

NODE, NOBODY = 0, -1
PRODUCER_ID, EPOCH = 7, 3


class Wire:
    """What one broker is asked and answers.

    Parameters
    ----------
    leaders
        Of each topic, the leader of each of its partitions.
    """

    def __init__(self, leaders: Mapping[str, list[int]]) -> None:
        self.leaders = {topic: list(nodes) for topic, nodes in leaders.items()}
        #: (name of the request, the request), in order.
        self.asked: list[tuple[str, Any]] = []
        #: Error codes of produce requests by partition; a message that is too large is 10.
        self.refused: dict[TopicPartition, int] = {}
        #: Called for the request of a name before it is answered; an exception of it takes the answer's place.
        self.before: dict[str, Callable[[], None]] = {}
        #: What a partition holds as the broker would send it, from its first offset.
        self.stored: dict[TopicPartition, bytes] = {}
        #: Where that begins, and the (producer id, first offset) of each aborted transaction in it.
        self.begins: dict[TopicPartition, int] = {}
        self.aborted: dict[TopicPartition, list[tuple[int, int]]] = {}
        self._clients: list[AIOKafkaClient] = []

    def of(self, name: str) -> list[Any]:
        """Return the requests of a name."""
        return [request for one, request in self.asked if one == name]

    def sequences(self, at: TopicPartition) -> list[int]:
        """Return the first sequence numbers of the batches sent to a partition."""
        return [
            DefaultRecordBatch(bytes(data)).base_sequence
            for request in self.of("ProduceRequest")
            for topic, partitions in request._topics
            for partition, data in partitions
            if (topic, partition) == at
        ]

    def lead(self, topic: str, partition: int, node: int) -> None:
        """Change a partition's leader and let the clients know."""
        self.leaders[topic][partition] = node
        for client in self._clients:
            self._tell(client)

    @contextlib.asynccontextmanager
    async def producer(self, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
        """Give a started producer with a transactional id."""
        producer = AIOKafkaProducer(transactional_id="task", **settings)
        self._wire(producer.client)
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    @contextlib.asynccontextmanager
    async def consumer(self, *partitions: TopicPartition, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
        """Give a started consumer of partitions, from their first offset."""
        consumer = AIOKafkaConsumer(group_id=None, isolation_level="read_committed", **settings)
        self._wire(consumer._client)
        try:
            await consumer.start()
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek(partition, 0)
            yield consumer
        finally:
            await consumer.stop()

    def _wire(self, client: AIOKafkaClient) -> None:
        """Put this broker in the place of a client's network."""

        async def nothing(*_: Any, **__: Any) -> None: ...
        async def yes(*_: Any, **__: Any) -> bool:
            return True

        async def coordinator(*_: Any) -> int:
            return NODE

        async def metadata(topic: str) -> set[int]:
            return set(range(len(self.leaders[topic])))

        replaced = {
            "bootstrap": nothing, "send": self._send, "ready": yes, "coordinator_lookup": coordinator,
            "_wait_on_metadata": metadata, "_maybe_wait_metadata": nothing,
            "force_metadata_update": lambda: asyncio.ensure_future(asyncio.sleep(0.005, True)),
            "set_topics": lambda _: asyncio.ensure_future(asyncio.sleep(0, True)),
        }  # fmt: skip
        for name, stands in replaced.items():
            assert callable(getattr(client, name)), name
            setattr(client, name, stands)
        self._clients.append(client)
        self._tell(client)

    def _tell(self, client: AIOKafkaClient) -> None:
        topics = [
            (0, topic, False, [(0, partition, node, [NODE], [NODE]) for partition, node in enumerate(nodes)])
            for topic, nodes in self.leaders.items()
        ]
        brokers = [(NODE, "fake", 9092, None)]
        client.cluster.update_metadata(
            SimpleNamespace(API_VERSION=1, brokers=brokers, controller_id=NODE, topics=topics)
        )

    async def _send(self, node: int, request: Any, **_: Any) -> Any:
        name = type(request).__name__
        assert node == NODE
        self.asked.append((name, request))
        if name in self.before:
            self.before[name]()
        return await getattr(self, f"_on_{name}")(request)

    async def _on_InitProducerIdRequest(self, _: Any) -> Any:
        return SimpleNamespace(error_code=NoError.errno, producer_id=PRODUCER_ID, producer_epoch=EPOCH)

    async def _on_AddPartitionsToTxnRequest(self, request: Any) -> Any:
        return SimpleNamespace(errors=[(topic, [(one, 0) for one in ones]) for topic, ones in request._topics])

    async def _on_AddOffsetsToTxnRequest(self, _: Any) -> Any:
        return SimpleNamespace(error_code=NoError.errno)

    async def _on_TxnOffsetCommitRequest(self, request: Any) -> Any:
        return SimpleNamespace(errors=[(topic, [(one[0], 0) for one in ones]) for topic, ones in request._topics])

    async def _on_EndTxnRequest(self, _: Any) -> Any:
        return SimpleNamespace(error_code=NoError.errno)

    async def _on_ProduceRequest(self, request: Any) -> Any:
        topics = [
            (topic, [(one, self.refused.get(TopicPartition(topic, one), 0), 0, -1, 0) for one, _ in ones])
            for topic, ones in request._topics
        ]
        return SimpleNamespace(API_VERSION=7, topics=topics)

    async def _on_FetchRequest(self, request: Any) -> Any:
        """Answer with all that is stored to those who ask from its begin, in the partitions' order."""
        told: dict[str, list[tuple[Any, ...]]] = {topic: [] for topic, _ in request.topics}
        for topic, ones in request.topics:
            for one, offset, _ in sorted(ones):
                at = TopicPartition(topic, one)
                stored = self.stored.get(at, b"") if offset == self.begins.get(at, 0) else b""
                told[topic].append((one, 0, 100, 100, 0, list(self.aborted.get(at, [])), stored))
        if not any(one[-1] for ones in told.values() for one in ones):
            await asyncio.sleep(0.01)
        return SimpleNamespace(API_VERSION=7, topics=list(told.items()))

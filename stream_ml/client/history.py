"""What a topic on Kafka holds now, as history: for each partition batches with the received times of its log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from aiokafka import TopicPartition

from stream_ml.client.log import now_ms
from stream_ml.client.partitions import Partitions, require_topics
from stream_ml.config.kafka import KafkaSettings, read_kafka_settings
from stream_ml.schema.history import Batch, given

_SIZE = 4_000


def partitions_of(servers: str, topic: str, column: str | None = None) -> list[Iterator[Batch]]:
    """Return the batches of each partition.

    Parameters
    ----------
    servers
        host:port, more with commas.
    topic
        What to read, from its beginning to where it ends when its first batch is asked for; committed records only.
    column
        JSON field that holds the received time; without it that is the time stamp of the log, but never later than now.

    Raises
    ------
    InputError
        If there is no such topic.
    StorageError
        If the brokers cannot be reached or do not answer.
    """
    settings = read_kafka_settings()
    with Partitions(servers, settings) as reader:
        known = reader.topics()
    require_topics(known, (topic,), servers)
    found = [_dated(servers, settings, TopicPartition(topic, number)) for number in range(known[topic])]
    if column is None:
        return found
    return [_by_column(batches, column, f"{topic}/{number}") for number, batches in enumerate(found)]


def _dated(servers: str, settings: KafkaSettings, tp: TopicPartition) -> Iterator[Batch]:
    row = 0
    with Partitions(servers, settings) as reader:
        reader.open({tp: "start"})
        for records in reader.batches(follow=False, timeout=None, size=_SIZE):
            received = np.fromiter((one.received for one in records), np.int64, len(records))
            yield Batch(row, [one.value for one in records], np.minimum(received, now_ms()), ())
            row += len(records)


def _by_column(batches: Iterator[Batch], column: str, where: str) -> Iterator[Batch]:
    first = next(batches, None)
    if first is not None:
        yield from given((batch.values for batch in chain((first,), batches)), column, where)

"""Bytewax + river: one worker, one step over both topics.

    python -m benchmarks.peers.with_bytewax SERVERS NAME TOPIC ... [--records N]

At least once: an epoch of 100 ms (10 s by default) keeps the topics' offsets in Bytewax's recovery store. Settings:
batches of 5,000 records (1,000 by default: the sink flushes, and waits, for each batch), one `flat_map_batch` for a
whole batch, acks=all, idempotent, linger 5 ms (the default). Orjson. State in memory: a `stateful_map` by card would
pickle a card's windows for each of its payments, and the model belongs to no card.
"""

from __future__ import annotations

import gc
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.peers.told import Asked, Job, asked, ended, serves

BATCH = 5_000
CONSUMER = {"fetch.queue.backoff.ms": "5"}
PRODUCER = {"acks": "all", "enable.idempotence": "true", "linger.ms": "5"}


def dataflow(told: Asked, job: Job) -> Dataflow:
    """Return topics, step and sink."""

    def score(messages: list[Any]) -> list[Any]:
        return [
            KafkaSinkMessage(key, orjson.dumps(value), told.out(kind))
            for message in messages
            for kind, key, value in job.take(message.value, message.timestamp[1])
        ]

    flow = Dataflow("cards")
    source = KafkaSource([told.servers], told.topics, tail=not told.records, add_config=CONSUMER, batch_size=BATCH)
    made = op.flat_map_batch("score", op.input("in", flow, source), score)
    op.output("out", made, KafkaSink([told.servers], None, add_config=PRODUCER))
    return flow


def main(told: Asked) -> None:
    """Run until SIGTERM or the end."""
    job = told.begin()
    flow = dataflow(told, job)
    store = Path(told.folder) / "bytewax"
    store.mkdir()
    init_db_dir(store, 1)
    gc.collect()
    gc.freeze()
    serves(told)
    cli_main(flow, epoch_interval=timedelta(seconds=told.interval_s), recovery_config=RecoveryConfig(store))
    ended()


if __name__ == "__main__":
    main(asked(__doc__))

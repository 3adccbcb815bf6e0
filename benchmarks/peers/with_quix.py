"""Quix Streams + river: two dataframes concatenated, at least once or exactly once.

    python -m benchmarks.peers.with_quix SERVERS NAME TOPIC ... [--records N] [--exactly-once]

`concat` hands the topics' records over in the order of their time stamps, so labels come when they came. Settings: a
checkpoint every 100 ms (5 s by default), which with `--exactly-once` is a Kafka transaction; polls as long (1 s by
default, which a slow stream waits for); acks=all, idempotent; a linger of half that time (5 ms by default), ended by
each checkpoint; input as bytes and orjson, output by Quix' own JSON serializer (orjson too). No state store: the
windows are in memory.
"""

from __future__ import annotations

import gc
from functools import reduce
from typing import Any

from quixstreams import Application

from benchmarks.peers.by_hand import EXAMPLES, PREDICTIONS
from benchmarks.peers.told import Asked, asked, ended, serves
from benchmarks.river_by_hand import Record


def application(told: Asked) -> Application:
    """Return the application, its guarantee chosen."""
    return Application(
        broker_address=told.servers,
        consumer_group=told.name,
        auto_offset_reset="earliest",
        commit_interval=told.interval_s,
        consumer_poll_timeout=told.interval_s,
        processing_guarantee="exactly-once" if told.exactly_once else "at-least-once",
        producer_extra_config={"acks": "all", "enable.idempotence": True, "linger.ms": told.interval_s * 500},
        state_dir=told.folder,
        use_changelog_topics=False,
        loglevel="WARNING",
    )


def main(told: Asked) -> None:
    """Run until SIGTERM or the end."""
    job = told.begin()
    app = application(told)
    frames = [
        app.dataframe(app.topic(name, key_deserializer="bytes", value_deserializer="bytes")) for name in told.topics
    ]
    out = {kind: app.topic(told.out(kind), key_serializer="bytes") for kind in (PREDICTIONS, EXAMPLES)}

    def take(value: bytes, _key: Any, timestamp: int, _headers: Any) -> list[Record]:
        return [made for _, _, made in job.take(value, timestamp)]

    def topic_of(made: Record, *_: Any) -> Any:
        return out[EXAMPLES if "fate" in made else PREDICTIONS]

    reduce(lambda one, other: one.concat(other), frames).apply(take, metadata=True, expand=True).to_topic(topic_of)
    gc.collect()
    gc.freeze()
    serves(told)
    app.run(count=told.records, collect=False)
    ended()


if __name__ == "__main__":
    main(asked(__doc__))

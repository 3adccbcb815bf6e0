"""Faust (faust-streaming) + river: one agent over both topics.

    python -m benchmarks.peers.with_faust SERVERS NAME TOPIC ... [--records N]

At least once: events are acknowledged when the agent comes back for more, offsets are committed every 100 ms (the
default is 2.8 s). Settings: the package's compiled stream loop (`cython_optimizations`, off by default) and
`take_events` of at most 1,000, each of which took off a quarter of the CPU time; raw bytes in and out, orjson; a
linger of half the commit interval (0 by default: a request for every few records) and batches to 900 kB (16 kB by
default); acks=all; no web server, no leader topic. State in memory, no table.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import faust
import orjson

from benchmarks.peers.by_hand import EXAMPLES, PREDICTIONS
from benchmarks.peers.told import Asked, Job, asked, ended, serves

BATCH, BATCH_BYTES, COMMIT_S = 1_000, 900_000, 0.1  # readers need not wait for a commit


def application(told: Asked, job: Job) -> Any:
    """Return the app with its agent."""
    app = faust.App(
        told.name,
        broker=f"kafka://{told.servers}",
        datadir=told.folder,
        key_serializer="raw",
        value_serializer="raw",
        broker_commit_interval=max(COMMIT_S, told.interval_s),
        producer_acks=-1,
        producer_linger=told.interval_s / 2,
        producer_max_batch_size=BATCH_BYTES,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        cython_optimizations=True,
    )
    out = {kind: app.topic(told.out(kind)) for kind in (PREDICTIONS, EXAMPLES)}

    @app.agent(app.topic(*told.topics))  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> AsyncIterator[None]:
        async for events in stream.take_events(BATCH, within=told.interval_s / 2):
            for event in events:
                for kind, key, value in job.take(event.value, round(event.message.timestamp * 1e3)):
                    await out[kind].send(key=key, value=orjson.dumps(value))
            if job.taken == told.records:
                os.kill(os.getpid(), signal.SIGTERM)  # Faust's way to stop in order: outputs flushed, offsets committed
            yield

    return app


def main(told: Asked) -> None:
    """Run until SIGTERM or the end."""
    job = told.begin()
    app = application(told, job)
    gc.collect()
    gc.freeze()
    serves(told)
    try:
        faust.Worker(app, loglevel="WARNING", stdout=sys.stderr, quiet=True).execute_from_commandline()
    except SystemExit as left:
        if left.code:
            raise
    ended()


if __name__ == "__main__":
    main(asked(__doc__))

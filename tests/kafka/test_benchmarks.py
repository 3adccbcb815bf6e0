"""The benchmarks that drain a backlog, small, on the tests' broker: their answers are checked within them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import workers
from benchmarks.nexmark.bids import make_bids
from benchmarks.nexmark.reference import QUERIES
from benchmarks.nexmark.runner import checked, stream_of
from benchmarks.peers.backlog import make_stream
from benchmarks.peers.drains import drained
from stream_ml.bench.subject import Subject
from stream_ml.demos.broker import Broker

pytestmark = pytest.mark.slow


def test_a_query_of_nexmark_drains_bids(broker: Broker, tmp_path: Path) -> None:
    bids, query = make_bids(600, 40), QUERIES["q17"]
    found = drained(broker, stream_of(bids, "q17", query, tmp_path), Subject().start, checked(bids, query))
    assert found["answers"] == {"answers": 600, "largest_difference": 0.0}
    assert found["cpu_us_per_event"] > 0


def test_two_workers_drain_two_partitions(broker: Broker, tmp_path: Path) -> None:
    stream = make_stream(tmp_path, 600)
    found = workers.drained(broker, stream, workers.reference(stream), 2)
    assert 0 < found["busiest_cpu_us_per_payment"] < found["cpu_us_per_payment"]
    assert sum(found["partitions"]) >= workers.PARTITIONS

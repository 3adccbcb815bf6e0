"""What a task may feed: never a record before one that the brokers hold and that is earlier."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.batches import Block
from stream_ml.engines.kafka.sources import Source, Sources
from stream_ml.sessions.merge import merge
from tests.scale import examples

EVENTS, LABELS, TABLE = TopicPartition("events", 0), TopicPartition("labels", 0), TopicPartition("names", 0)
RANKS = {TABLE: 0, EVENTS: 1, LABELS: 2}
BY_TOPIC = {tp.topic: rank for tp, rank in RANKS.items()}


def made(held: dict[TopicPartition, list[int]], first: frozenset[TopicPartition] = frozenset()) -> Sources:
    """Return sources over partitions that hold records of these received times, of which none is fetched yet."""

    async def build() -> Sources:
        found = Sources({"bootstrap_servers": "127.0.0.1:1"}, KafkaSettings(), {tp: RANKS[tp] for tp in held})
        found._consumer._closed = True  # it never connects
        return found

    sources = asyncio.run(build())
    sources._all = {tp: Source(tp, RANKS[tp], 0, 0, len(stamps)) for tp, stamps in held.items()}
    sources._first = first
    return sources


def fetch(sources: Sources, tp: TopicPartition, held: list[int], n: int) -> None:
    source = sources._all[tp]
    some = range(source.read, min(source.read + n, len(held)))
    source.add(Block.of([SimpleNamespace(offset=i, timestamp=held[i], key=None, value=b"%d" % i) for i in some]))
    source.read = max(source.read, some.stop)


stamps = st.lists(st.integers(0, 30), max_size=12).map(sorted)


@settings(max_examples=examples(300), deadline=None)
@given(stamps, stamps, st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=30), st.integers(1, 9))
def test_records_are_fed_in_merged_order_however_they_are_fetched(
    events: list[int], labels: list[int], fetches: list[tuple[bool, int]], limit: int
) -> None:
    held = {EVENTS: events, LABELS: labels}
    sources = made(held)
    fed: list[tuple[int, int, int]] = []
    for which, n in [*fetches, (True, 99), (False, 99)]:
        tp = EVENTS if which else LABELS
        fetch(sources, tp, held[tp], n)
        while runs := sources.take(limit):
            assert sum(len(run.values) for run in runs) <= limit
            turn = merge(runs, 0, BY_TOPIC)
            fed += [
                (int(at), BY_TOPIC[turn.names[topic]], int(offset))
                for at, topic, offset in zip(turn.received, turn.topics, turn.offsets, strict=True)
            ]
    wanted = [(at, 1, i) for i, at in enumerate(events)] + [(at, 2, i) for i, at in enumerate(labels)]
    assert fed == sorted(wanted)


def test_a_source_that_has_not_answered_holds_the_others_back() -> None:
    held = {EVENTS: [5, 6], LABELS: [1]}
    sources = made(held)
    fetch(sources, EVENTS, held[EVENTS], 2)
    assert sources.take(10) == []
    fetch(sources, LABELS, held[LABELS], 1)
    assert [run.source for run in sources.take(10)] == ["events/0", "labels/0"]


def test_at_the_live_edge_nobody_waits_for_a_source_that_was_read_to_its_end() -> None:
    sources = made({EVENTS: [5], LABELS: []})
    fetch(sources, EVENTS, [5], 1)
    assert [run.source for run in sources.take(10)] == ["events/0"]


def test_tables_are_read_whole_before_anything_else_at_a_fresh_start() -> None:
    held = {TABLE: [90, 91], EVENTS: [1]}
    sources = made(held, frozenset({TABLE}))
    fetch(sources, EVENTS, held[EVENTS], 1)
    assert sources.take(10) == []
    fetch(sources, TABLE, held[TABLE], 1)
    assert [(run.source, run.end) for run in sources.take(10)] == [("names/0", 1)]
    assert sources.take(10) == []
    fetch(sources, TABLE, held[TABLE], 1)
    assert [(run.source, run.end) for run in sources.take(10)] == [("names/0", 2)]
    assert [run.source for run in sources.take(10)] == ["events/0"]


def test_a_source_of_which_much_waits_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is: what is held back by it could not be fed otherwise."""
    held = {EVENTS: list(range(40)), LABELS: [100]}
    sources = made(held)
    asked: list[tuple[TopicPartition, ...]] = []

    async def fetched(_consumer: object, _wait_s: float, wanted: tuple[TopicPartition, ...]) -> dict[str, Block]:
        asked.append(wanted)
        return {}

    monkeypatch.setattr("stream_ml.engines.kafka.sources.fetched", fetched)
    monkeypatch.setattr("stream_ml.engines.kafka.sources.HELD_BYTES", 30)
    sources._consumer.position = lambda tp: asyncio.sleep(0, sources._all[tp].read)
    sources._consumer.last_stable_offset = lambda tp: len(held[tp])
    for _ in range(3):
        fetch(sources, EVENTS, held[EVENTS], 10)
        asyncio.run(sources.fill(0.0))
    assert asked == [(EVENTS, LABELS), (LABELS,), (LABELS,)]
    assert sources.take(100) == []
    fetch(sources, LABELS, held[LABELS], 1)
    assert len(sources.take(100)[0].values) == 30
    asyncio.run(sources.fill(0.0))
    assert asked[-1] == (EVENTS, LABELS)


def test_runs_follow_one_another_over_offsets_that_hold_no_record() -> None:
    sources = made({EVENTS: [1, 2, 3]})
    source = sources._all[EVENTS]
    records: list[Any] = [SimpleNamespace(offset=i, timestamp=i, key=b"k", value=None) for i in (4, 7, 9)]
    source.add(Block.of(records))
    source.read = source.known = 12
    (run,) = sources.take(2)
    assert (run.first, run.end, list(run.values)) == (0, 8, [b"", b""])
    (run,) = sources.take(2)
    assert (run.first, run.end) == (8, 10)
    np.testing.assert_array_equal(run.offsets, [9])

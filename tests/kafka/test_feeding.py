"""Turns beside the loop: one at a time in a process, and apart from tasks that are careful and from snapshots."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition

from stream_ml.config.kafka import KafkaSettings
from stream_ml.config.settings import Settings
from stream_ml.engines.kafka.careful import Gate
from stream_ml.engines.kafka.feeding import Feeding
from stream_ml.engines.kafka.job import Shared
from stream_ml.engines.kafka.snapshots import Snapshots
from stream_ml.engines.kafka.states import Told
from stream_ml.schema.records import Run

LONG_S = 20.0


@dataclass
class Machine:
    """As much of a session as is asked for here: its turn does what the test says."""

    act: Callable[[], None]
    compiled: bool = True
    number: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def learner(self) -> Any:
        return SimpleNamespace(compiled=self.compiled)

    def feed(self, runs: Any, **_: Any) -> Any:
        self.told.append(threading.current_thread().name)
        self.number += 1
        self.act()
        return SimpleNamespace(entry=b"", number=self.number)

    def unsealed(self) -> Iterator[Callable[[], bytes]]:
        yield lambda: b"piece"


def run_of(records: int) -> list[Run]:
    at = np.arange(records)
    return [Run("payments/0", 0, records, 0, [], at, at, [None] * records, [b"{}"] * records)]


def feeding(machine: Machine, gate: Gate) -> Feeding:
    async def never(*_: Any) -> None:
        raise AssertionError

    shared: Any = Shared({}, KafkaSettings(), Settings(), SimpleNamespace(write=never), never, gate=gate)  # type: ignore[arg-type]
    return Feeding(machine, shared, "cards: task 0", Told())


@pytest.mark.parametrize(("records", "compiled"), [(5_000, True), (3, False)])
def test_loop_goes_on_while_a_turn_is_computed(records: int, compiled: bool) -> None:
    """A turn that ends only once the loop has run: on the loop it would never end."""

    async def scenario() -> Machine:
        turned = threading.Event()
        machine = Machine(lambda: _require(turned.wait(LONG_S)), compiled)
        turn = asyncio.create_task(feeding(machine, Gate()).turn(run_of(records)))
        while machine.number == 0:
            await asyncio.sleep(0)
        turned.set()
        await turn
        return machine

    assert asyncio.run(scenario()).told != [threading.current_thread().name]


def test_small_turn_of_a_compiled_model_stays_on_the_loop() -> None:
    machine = Machine(lambda: None)
    asyncio.run(feeding(machine, Gate()).turn(run_of(3)))
    assert machine.told == [threading.current_thread().name]


def test_one_turn_at_a_time_and_no_snapshot_meanwhile() -> None:
    """Two tasks and a snapshot want the same moment; each begins where the one before it has ended."""

    async def scenario() -> list[str]:
        gate, order, go = Gate(), [], threading.Event()

        def act() -> None:
            order.append("begun")
            _require(go.wait(LONG_S))
            order.append("ended")

        machine = Machine(act)
        pieces: Any = SimpleNamespace()
        snapshots = Snapshots(machine, pieces, TopicPartition("state", 0), 1.0, gate.turn)
        one = asyncio.create_task(feeding(machine, gate).turn(run_of(2_000)))
        other = asyncio.create_task(feeding(machine, gate).turn(run_of(2_000)))
        while not order:
            await asyncio.sleep(0)

        def blobs() -> Iterator[Callable[[], bytes]]:
            order.append("packed")
            yield from machine.unsealed()

        packed = asyncio.create_task(snapshots._packed(blobs()))
        for _ in range(100):
            await asyncio.sleep(0)
        assert order == ["begun"]
        go.set()
        assert await packed == b"piece"
        await asyncio.gather(one, other)
        return order

    assert asyncio.run(scenario()) == ["begun", "ended", "begun", "ended", "packed"]


def test_who_is_alone_waits_for_turns_that_passed_and_is_waited_for() -> None:
    async def scenario() -> list[str]:
        gate, order, go = Gate(), [], threading.Event()

        def act() -> None:
            _require(go.wait(LONG_S))
            order.append("ended")

        async def fed(number: str) -> None:
            await gate.passed()
            await feeding(Machine(act), gate).turn(run_of(2_000))
            order.append(number)

        async def alone() -> None:
            async with gate.alone():
                order.append("alone")
                for _ in range(100):
                    await asyncio.sleep(0)
                order.append("no longer")

        first = asyncio.create_task(fed("first"))
        await asyncio.sleep(0)
        careful = asyncio.create_task(alone())
        await asyncio.sleep(0)
        second = asyncio.create_task(fed("second"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert order == []
        go.set()
        await asyncio.gather(first, careful, second)
        return order

    told = asyncio.run(scenario())
    assert [one for one in told if one != "first"] == ["ended", "alone", "no longer", "ended", "second"]


def _require(holds: bool) -> None:
    assert holds, "waited in vain"

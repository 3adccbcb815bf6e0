"""The generator, a process of its own: sends what a load says, at the moments that were fixed before.

    python -m stream_ml.bench.generator LOAD.json OUT.npz

A clock hands records over to senders, one for each topic and partition, and never waits for them: what a log does not
take at once waits in the sender's queue, and its latency counts from the intended moment all the same. The generator's
own delay is the time from the intended moment to that handing over.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_ml.bench.copies import copied
from stream_ml.bench.load import Load, moments, read_load
from stream_ml.bench.logs import Log, log_of
from stream_ml.bench.records import Made, Records

#: Seconds that making a record takes, at most: the start is put so far ahead.
_MAKING_S = 4e-5
_AHEAD_S = 0.3
_CHUNK = 2_000
#: Seconds between two looks at the clock: what is due by then is handed over together, late by so much at most.
_LOOK_S = 4e-4
EVENT, LABEL, OTHER = 0, 1, 2


@dataclass
class Lane:
    """What goes to one partition: waits here from its moment on until the log has taken it."""

    topic: str
    partition: int
    waiting: deque[int] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Schedule:
    """Every record of a load in the order of its moment: due [n] seconds after the start, kind and event number [n]."""

    def __init__(self, load: Load, records: Records, begin_ms: int) -> None:
        at = moments(load)
        numbers = np.arange(load.first, load.first + load.events)
        answered = records.labelled()
        after = at[answered - load.first] + load.label_after_s
        made: list[tuple[int, Made, NDArray[np.float64], NDArray[np.int64]]] = [
            (EVENT, records.events(numbers, begin_ms + (at * 1e3).astype(np.int64)), at, numbers)
        ]
        if answered.size:
            made.append((LABEL, records.labels(answered, begin_ms + (after * 1e3).astype(np.int64)), after, answered))
        for other in records.others(numbers, begin_ms + (at * 1e3).astype(np.int64)):
            few = at[:: max(1, len(at) // max(1, len(other.values)))][: len(other.values)]
            made.append((OTHER, other, few, np.full(len(few), -1)))
        due = np.concatenate([one[2] for one in made])
        kinds = np.concatenate([np.full(len(one[2]), one[0]) for one in made])
        events = np.concatenate([one[3] for one in made])
        if load.rate == 0.0:
            due = np.zeros(len(due))
        order = np.argsort(due, kind="stable")
        self.due, self.kinds, self.events = due[order], kinds[order], events[order]
        topics = [one[1].topic for one in made for _ in one[1].values]
        keys = [key for one in made for key in one[1].keys]
        values = [value for one in made for value in one[1].values]
        places = order.tolist()
        self.topics = [topics[i] for i in places]
        self.keys = [keys[i] for i in places]
        self.values = [values[i] for i in places]


class Generator:
    """Sends one schedule.

    Parameters
    ----------
    log
        Started.
    schedule
        What to send.
    """

    def __init__(self, log: Log, schedule: Schedule) -> None:
        self._log, self._schedule = log, schedule
        n = len(schedule.values)
        self.taken, self.stored = np.zeros(n), np.zeros(n)
        self.partitions, self.offsets = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._of = []
        for i, (topic, key) in enumerate(zip(schedule.topics, schedule.keys, strict=True)):
            at = (topic, log.partition(topic, key, i))
            lane = self._lanes.get(at)
            if lane is None:
                lane = self._lanes[at] = Lane(*at)
            self._of.append(lane)
            self.partitions[i] = at[1]

    async def paced(self, begin: float) -> None:
        """Send every record at its moment after `begin` (monotonic seconds); returns when all is stored."""
        senders = [asyncio.create_task(self._send(lane)) for lane in self._lanes.values()]
        due, done, total = self._schedule.due, 0, len(self._schedule.values)
        while done < total:
            await asyncio.sleep(max(begin + due[done] - time.monotonic(), _LOOK_S))
            now = time.monotonic()
            end = max(done + 1, int(np.searchsorted(due, now - begin, side="right")))
            self.taken[done:end] = now
            for i in range(done, end):
                lane = self._of[i]
                lane.waiting.append(i)
                lane.woken.set()
            done = end
            failed = [one for one in senders if one.done()]
            if failed:
                failed[0].result()
        for lane in self._lanes.values():
            lane.waiting.append(-1)
            lane.woken.set()
        await asyncio.gather(*senders)

    async def at_once(self) -> None:
        """Send everything as fast as it is taken, in order: a chunk leaves once the one before it is stored."""
        for start in range(0, len(self._of), _CHUNK):
            chunk: dict[int, list[int]] = {}
            for i in range(start, min(start + _CHUNK, len(self._of))):
                chunk.setdefault(id(self._of[i]), []).append(i)
            self.taken[start : start + _CHUNK] = time.monotonic()
            await asyncio.gather(*(self._all(self._of[part[0]], part) for part in chunk.values()))

    async def _send(self, lane: Lane) -> None:
        while True:
            while not lane.waiting:
                lane.woken.clear()
                await lane.woken.wait()
            ready = list(lane.waiting)
            lane.waiting.clear()
            await self._all(lane, [i for i in ready if i >= 0])
            if ready[-1] < 0:
                return
            await asyncio.sleep(self._log.linger_s)

    async def _all(self, lane: Lane, ready: list[int]) -> None:
        keys, values = self._schedule.keys, self._schedule.values
        while ready:
            count, first = await self._log.append(
                lane.topic, lane.partition, [keys[i] for i in ready], [values[i] for i in ready]
            )
            self.stored[ready[:count]] = time.monotonic()
            self.offsets[ready[:count]] = np.arange(first, first + count)
            ready = ready[count:]


async def generate(load: Load, out: Path) -> None:
    """Make the records, wait for the start, send, and write what was sent when."""
    records = Records(copied(load.pipeline, load.name), load)
    lead = _AHEAD_S + _MAKING_S * load.events * 2
    while True:
        begin = time.monotonic() + lead
        schedule = Schedule(load, records, int(time.time() * 1e3 + lead * 1e3))
        if time.monotonic() < begin - _AHEAD_S / 2:
            break
        lead *= 2
    log = log_of(load.url)
    tables = records.tables(int(time.time() * 1e3)) if load.tables else []
    await log.start(sorted({*schedule.topics, *(one.topic for one in tables)}))
    try:
        for one in tables:
            await _put(log, one)
        generator = Generator(log, schedule)
        gc.collect()
        gc.freeze()
        gc.disable()
        begun = time.monotonic()
        if load.rate == 0.0:
            begin = begun
            await generator.at_once()
        else:
            await generator.paced(begin)
    finally:
        await log.close()
    np.savez(
        out, kind=schedule.kinds, event=schedule.events, intended=begin + schedule.due, taken=generator.taken,
        stored=generator.stored, partition=generator.partitions, offset=generator.offsets,
        bytes=np.array([len(value) for value in schedule.values]),
    )  # fmt: skip


async def _put(log: Log, made: Made) -> None:
    at = 0
    while at < len(made.values):
        count, _ = await log.append(made.topic, 0, made.keys[at:], made.values[at:])
        at += count


def main(load: str, out: str) -> None:
    """Run on a loop whose timers are as fine as the system's: epoll would round them up to a millisecond."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(generate(read_load(Path(load)), Path(out)))


if __name__ == "__main__":
    main(*sys.argv[1:])

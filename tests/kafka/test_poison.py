"""Records that kill the worker's process: found, skipped, dead letters; everything else as if nobody had died."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition

from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.notes import ATTEMPT, RELEASED, SERVING
from stream_ml.engines.kafka.topics import names
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.journal import DEADLINES
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, Sent, entries_of, judge, reader, send, topics_of
from tests.kafka.test_engine import make_topics
from tests.kafka.workers import Nursery, Process, all_end, until
from tests.local import deadly

FILE = Path(deadly.__file__)
SEGV, KILL = -signal.SIGSEGV, -signal.SIGKILL
#: A worker that died is put out of the group at once; its model travels as a pickle where there are two partitions.
QUICK = {
    "STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": "500",
    "STREAM_ML_KAFKA_HEARTBEAT_INTERVAL_MS": "100",
    "STREAM_ML_KAFKA_ALLOW_PICKLE": "true",
}
MOST = 30
#: By the partition of two that murmur2 gives them.
CUSTOMERS = ("c0", "c1")


def order(prefix: str, number: int, price: float, partition: int = 0) -> Sent:
    customer = CUSTOMERS[partition]
    record = {"order": f"o{number}", "customer": customer, "price": price, "at": "2025-03-01T00:00:00Z"}
    return f"{prefix}orders", None, None, customer.encode(), orjson.dumps(record)


def answer(prefix: str, number: int, partition: int = 0, *, yes: bool = True) -> Sent:
    record = {"order": f"o{number}", "customer": CUSTOMERS[partition], "returned": yes}
    return f"{prefix}returns", None, None, CUSTOMERS[partition].encode(), orjson.dumps(record)


def deaths(file: Path) -> Counter[str]:
    told = file.with_name("deaths")
    return Counter(told.read_text().splitlines() if told.exists() else [])


async def supervised(nursery: Nursery, file: Path, address: str, **env: str) -> list[Process]:
    """Start a worker again until it ends well, as a supervisor does."""
    ends: list[Process] = []
    while len(ends) < MOST:
        ends.append(nursery.start(file, address, "--until-end", env={**QUICK, **env}))
        if await ends[-1].ended() == 0:
            break
    return ends


def codes(ends: list[Process]) -> list[int | None]:
    return [one.code for one in ends]


def letters(pipeline: Pipeline, seen: Seen, partition: int) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in seen.values(names(pipeline.name)["dead"], partition)]


def skips(pipeline: Pipeline, seen: Seen, partition: int) -> list[tuple[str, int]]:
    return [skip for entry in entries_of(pipeline, partition, seen) for skip in entry.skipped]


def notes(pipeline: Pipeline, seen: Seen, partition: int) -> list[bytes | None]:
    """Return what owners left for one another beside snapshots."""
    state = seen.records[TopicPartition(names(pipeline.name)["state"], partition)]
    return [record.key for record in state if record.key in {ATTEMPT, RELEASED, SERVING}]


def predicted(pipeline: Pipeline, seen: Seen, partition: int) -> list[str]:
    return [json.loads(raw)["id"] for raw in seen.values(names(pipeline.name)["predictions"], partition)]


def both(prefix: str, partitions: int) -> Mapping[str, int]:
    return {f"{prefix}orders": partitions, f"{prefix}returns": partitions}


def test_20_and_45_a_crash_and_a_loop(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """Two pipelines at once.

    A crash amid other records, on one partition of two: once without knowing it, once in a turn that was written down,
    three times alone. A loop in a lone record, ended by the watchdog of turns: once without knowing it, three times
    alone.
    """
    crash, loop = f"{prefix}crash.", f"{prefix}loop."
    (tmp_path / "loop").mkdir()
    crashing, crash_file = named(FILE, crash, tmp_path)
    looping, loop_file = named(Path(shutil.copy(FILE, tmp_path / "looping.py")), loop, tmp_path / "loop")
    records = [order(crash, n, 904 if n == 20 else 10 + n % 13, n % 2) for n in range(60)]
    records += [answer(crash, n, n % 2, yes=n % 3 == 0) for n in range(60) if n % 5 and n != 20]

    async def scenario(
        pipeline: Pipeline, file: Path, partitions: int, own: str, sent: list[Sent], **env: str
    ) -> tuple[Seen, list[Process]]:
        await make_topics(broker, pipeline, partitions)
        topics = {**topics_of(pipeline, partitions, both(own, partitions)), names(pipeline.name)["state"]: partitions}
        async with reader(broker.address, topics) as seen:
            await send(broker.address, sent)
            ends = await supervised(nursery, file, broker.address, **env)
        return seen, ends

    async def scenarios() -> Sequence[tuple[Seen, list[Process]]]:
        return await asyncio.gather(
            scenario(crashing, crash_file, 2, crash, records, STREAM_ML_SNAPSHOT_SECONDS="0.001"),
            scenario(looping, loop_file, 1, loop, [order(loop, 0, 903)], STREAM_ML_TURN_SECONDS="0.5"),
        )

    (seen, ends), (seen_loop, loops) = asyncio.run(scenarios())
    assert codes(ends) == [SEGV] * 5 + [0], ends[-1].told
    assert deaths(crash_file) == {"predict 904": 5}
    (letter,) = [one for one in letters(crashing, seen, 0) if one["reason"] == "poison"]
    assert (letter["topic"], letter["partition"], letter["offset"]) == (f"{crash}orders", 0, 10)
    assert base64.b64decode(letter["raw"]) == records[20][-1]
    assert letter["message"] == "killed the process three times"
    assert skips(crashing, seen, 0) == [(f"{crash}orders/0", 10)]
    assert skips(crashing, seen, 1) == skips(crashing, seen, 2) == []
    assert predicted(crashing, seen, 0) == [f"o{n}" for n in range(0, 60, 2) if n != 20]
    assert predicted(crashing, seen, 1) == [f"o{n}" for n in range(1, 60, 2)]
    judge(crashing, 2, seen, allow_pickle=True)

    assert codes(loops) == [1] * 4 + [0]
    assert deaths(loop_file) == {"predict 903": 4}
    where = f"{looping.name}: task 0, turn 2 ({loop}orders/0 0 to 0) takes longer than 0.5 s, at {loop_file}:"
    for one in loops[:-1]:
        last = one.told.splitlines()[-1]
        assert where in last
        assert "in die. Start again: it is tried anew" in last
    assert "the last worker died: it writes its turns down until it is past that place" in loops[1].told
    assert "the next record has killed the worker once: after 3 it is skipped" in loops[2].told
    assert "the next record has killed the worker 3 times: it is skipped" in loops[4].told
    assert skips(looping, seen_loop, 0) == [(f"{loop}orders/0", 0)]
    (session,) = judge(looping, 1, seen_loop)
    assert session.stats["dead"] == {"poison": 1}
    # one a turn after a death, one that the record is fed, one that the last owner let go; none in the normal way
    assert notes(looping, seen_loop, 0) == [ATTEMPT] * 5 + [RELEASED]


@pytest.mark.faults
def test_a_crash_in_a_lesson(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """One partition: the label that kills is skipped; then the outcome by silence of its event is not taught."""
    pipeline, file = named(FILE, prefix, tmp_path)
    records = [order(prefix, n, 902 if n == 20 else 10 + n % 13) for n in range(60)]
    records += [answer(prefix, n, yes=n % 3 == 0) for n in range(60) if n % 5 or n == 20]

    async def scenario() -> tuple[Seen, list[Process], list[Process]]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, both(prefix, 1))) as seen:
            await send(broker.address, records)
            ends = await supervised(nursery, file, broker.address)
            await asyncio.sleep(3.2)  # the wait of every order is over
            silent = await supervised(nursery, file, broker.address)
        return seen, ends, silent

    seen, ends, silent = asyncio.run(scenario())
    assert set(codes(ends)) <= {SEGV, 0}
    assert set(codes(silent)) <= {SEGV, 0}
    assert codes(ends)[-1] == codes(silent)[-1] == 0
    assert deaths(file) == {"learn 902": len(ends) + len(silent) - 2}
    (session,) = judge(pipeline, 1, seen)
    assert session.stats["dead"] == {"poison": 1}
    assert session.stats["pending"] == 0
    skipped = skips(pipeline, seen, 0)
    labels = [one for one in skipped if one[0] != DEADLINES]
    (at,) = [n for n, raw in enumerate(seen.values(f"{prefix}returns", 0)) if json.loads(raw)["order"] == "o20"]
    assert labels == [(f"{prefix}returns/0", at)]
    assert len(skipped) == 2
    assert predicted(pipeline, seen, 0) == [f"o{n}" for n in range(60)]


@pytest.mark.faults
def test_a_crash_in_the_learner(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """Two partitions: the example that kills the learner is skipped; what both partitions predict is not."""
    pipeline, file = named(FILE, prefix, tmp_path)
    records = [order(prefix, n, 902 if n == 20 else 10 + n % 13, n % 2) for n in range(60)]
    records += [answer(prefix, n, n % 2, yes=n % 3 == 0) for n in range(60)]

    async def scenario() -> tuple[Seen, list[Process]]:
        await make_topics(broker, pipeline, partitions=2)
        async with reader(broker.address, topics_of(pipeline, 2, both(prefix, 2))) as seen:
            await send(broker.address, records)
            ends = await supervised(nursery, file, broker.address)
        return seen, ends

    seen, ends = asyncio.run(scenario())
    assert set(codes(ends)) == {SEGV, 0}
    assert 4 <= len(ends) - 1 <= 6
    assert deaths(file) == {"learn 902": len(ends) - 1}
    judge(pipeline, 2, seen, allow_pickle=True)
    (letter,) = letters(pipeline, seen, 2)
    assert (letter["reason"], letter["partition"]) == ("poison", 0)
    assert json.loads(base64.b64decode(letter["raw"]))["id"] == "o20"
    assert skips(pipeline, seen, 2) == [(f"{pipeline.name}.examples/0", letter["offset"])]
    assert skips(pipeline, seen, 0) == skips(pipeline, seen, 1) == []
    assert sorted(predicted(pipeline, seen, 0) + predicted(pipeline, seen, 1)) == sorted(f"o{n}" for n in range(60))


@pytest.mark.faults
def test_two_workers_meet_one_record(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """A record goes from worker to worker and kills each; both are started again, and the stream goes on."""
    pipeline, file = named(FILE, prefix, tmp_path)
    predictions = names(pipeline.name)["predictions"]

    async def scenario() -> tuple[Seen, int]:
        await make_topics(broker, pipeline, partitions=2)
        async with reader(broker.address, topics_of(pipeline, 2, both(prefix, 2))) as seen:
            everyone = [nursery.start(file, broker.address, env=QUICK) for _ in range(2)]
            workers = list(everyone)
            sent = 0

            async def more(count: int, price: float = 10.0) -> None:
                nonlocal sent
                await send(broker.address, [order(prefix, n, price, n % 2) for n in range(sent, sent + count)])
                sent += count

            try:
                await more(20)
                await until(lambda: seen.count(predictions) == 20, "the first predictions")
                await more(1, 904)
                while not letters(pipeline, seen, 0):
                    await more(2)
                    await asyncio.sleep(0.2)
                    for one in [one for one in workers if one.code is not None]:
                        assert one.code == SEGV, one.told
                        workers.remove(one)
                        workers.append(nursery.start(file, broker.address, env=QUICK))
                        everyone.append(workers[-1])
                        assert len(everyone) < MOST
                await until(lambda: seen.count(predictions) == sent - 1, "every other prediction")
                for one in workers:
                    await one.stopped()
                (last,) = await supervised(nursery, file, broker.address)
                everyone.append(last)
            finally:
                await all_end(everyone)
        return seen, len(everyone) - 3

    seen, died = asyncio.run(scenario())
    judge(pipeline, 2, seen, allow_pickle=True)
    assert deaths(file) == {"predict 904": died}
    assert died >= 4
    assert skips(pipeline, seen, 0) == [(f"{prefix}orders/0", 10)]
    assert skips(pipeline, seen, 1) == skips(pipeline, seen, 2) == []


@pytest.mark.faults
def test_kills_of_an_operator_skip_nothing(broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery) -> None:
    """Ten kills with -9 in the turn that follows, each of them while it is stored: no record is to blame."""
    pipeline, file = named(FILE, prefix, tmp_path)
    task = f"{pipeline.name}.0"
    steps = (Failpoint.ENTRY, Failpoint.END, Failpoint.BEGIN, Failpoint.PRODUCE)

    async def scenario() -> tuple[Seen, list[Process]]:
        await make_topics(broker, pipeline)
        killed = []
        async with reader(broker.address, topics_of(pipeline, 1, both(prefix, 1))) as seen:
            await send(broker.address, [order(prefix, n, 10 + n % 13) for n in range(150)])
            for n in range(10):
                planned = (steps[n % len(steps)], task, 1, signal.SIGKILL)
                killed.append(nursery.start(file, broker.address, "--until-end", env=QUICK, failpoint=planned))
                assert await killed[-1].ended() == KILL, killed[-1].told
            (last,) = await supervised(nursery, file, broker.address)
        return seen, [*killed, last]

    seen, ends = asyncio.run(scenario())
    assert all("the last worker died" in one.told for one in ends[1:])
    assert "has killed the worker" not in "".join(one.told for one in ends)
    assert skips(pipeline, seen, 0) == []
    (session,) = judge(pipeline, 1, seen)
    assert session.stats["predicted"] == 150

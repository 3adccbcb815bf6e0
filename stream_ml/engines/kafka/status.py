"""What pipelines on Kafka are doing, read from their topics and groups alone: no worker is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import orjson
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import deadline, partition_of
from stream_ml.engines.kafka.logs import MANIFEST, Logs, read_generation
from stream_ml.engines.kafka.snapshots import BYTES
from stream_ml.engines.kafka.topics import MODELS, names
from stream_ml.sessions.codec import restore
from stream_ml.sessions.journal import read_entry
from stream_ml.sessions.session import read_manifest

LEARNER = "learner"
JOURNAL = ".journal"
Version = tuple[str, int]
_SMALL = "small part of the snapshot"


@dataclass(slots=True)
class TaskStatus:
    """Where one task is.

    Parameters
    ----------
    task
        Number of the partition, or "learner".
    owner, host
        Member of the group that runs it, and where from; None where nobody does.
    entry
        Number of the last journal entry, 0 before the first.
    written
        When that was written, epoch ms.
    positions, lag
        Next offset of each source, and how many offsets lie between them and the ends.
    snapshot_entry, snapshot_age_s, snapshot_bytes
        Of the newest snapshot: the entry up to which it goes, its age, what was written for it.
    version
        Lineage and count of the model: the newest that a scorer answered with, the newest that the learner published.
    behind
        How many examples the scorer's model is behind the learner's.
    """

    task: str
    owner: str | None = None
    host: str | None = None
    entry: int = 0
    written: int | None = None
    positions: dict[str, int] = field(default_factory=dict)
    lag: int | None = None
    snapshot_entry: int | None = None
    snapshot_age_s: float | None = None
    snapshot_bytes: int | None = None
    version: Version | None = None
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A consumer group: its state, and the owner (member, host) of each partition."""

    state: str
    members: int
    owners: dict[int, tuple[str, str]]


async def read_status(client: Mapping[str, Any], settings: KafkaSettings) -> list[dict[str, Any]]:
    """Return what every pipeline of the brokers is doing, by name.

    Raises
    ------
    LostError, UsageError
        The brokers cannot be reached, do not answer, or refuse this user.
    CorruptError
        A journal or a snapshot cannot be read.
    """
    admin = AIOKafkaAdminClient(**client)
    try:
        async with deadline(settings.deadline_s, "connecting to Kafka"):
            await admin.start()
        async with deadline(settings.deadline_s, "asking for topics"):
            told = await admin.describe_topics()
        counts = {one["topic"]: len(one["partitions"]) for one in told}
        return [
            await _pipeline(client, settings, admin, topic.removesuffix(JOURNAL), counts)
            for topic in sorted(counts)
            if topic.endswith(JOURNAL) and names(topic.removesuffix(JOURNAL))["state"] in counts
        ]
    finally:
        async with deadline(settings.deadline_s, "leaving Kafka"):
            await admin.close()


async def _pipeline(
    client: Mapping[str, Any], settings: KafkaSettings, admin: AIOKafkaAdminClient, name: str, counts: Mapping[str, int]
) -> dict[str, Any]:
    own = names(name)
    partitions = counts.get(own["predictions"], 0)
    shared = counts[own["journal"]] > partitions and own[MODELS] in counts
    groups = await _groups(admin, settings, [name, f"{name}.{LEARNER}"] if shared else [name])
    tasks = []
    for number in range(counts[own["journal"]]):
        is_learner = shared and number == partitions
        group = groups[f"{name}.{LEARNER}" if is_learner else name]
        owner, host = group.owners.get(0 if is_learner else number, (None, None))
        task = TaskStatus(LEARNER if is_learner else str(number), owner, host)
        said = TopicPartition(own[MODELS], 0) if is_learner else TopicPartition(own["predictions"], number)
        await _read(client, settings, task, (own["journal"], own["state"], number), said)
        tasks.append(task)
    learner = tasks[-1].version if shared and tasks[-1].task == LEARNER else None
    for task in tasks:
        if learner is not None and task.version is not None and task.version[0] == learner[0]:
            task.behind = learner[1] - task.version[1]
    return {
        "name": name,
        "groups": {group: {"state": told.state, "members": told.members} for group, told in groups.items()},
        "tasks": [asdict(task) for task in tasks],
    }


async def _groups(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, wanted: list[str]
) -> dict[str, GroupStatus]:
    async with deadline(settings.deadline_s, "asking for the groups"):
        answers = [answer for group in wanted for answer in await admin.describe_consumer_groups([group])]
    found = {}
    for answer in answers:
        for _, name, state, _, _, members, *_ in answer.groups:
            owners: dict[int, tuple[str, str]] = {}
            for member, _, host, _, assigned in (one[:5] for one in members):
                if assigned:
                    for _, numbers in ConsumerProtocolMemberAssignment.decode(assigned).assignment:
                        owners |= dict.fromkeys(numbers, (member, host.lstrip("/")))
            found[name] = GroupStatus(state, len(members), owners)
    return {name: found.get(name, GroupStatus("Dead", 0, {})) for name in wanted}


async def _read(
    client: Mapping[str, Any],
    settings: KafkaSettings,
    task: TaskStatus,
    own: tuple[str, str, int],
    said: TopicPartition,
) -> None:
    """Fill in what the task's partitions tell."""
    journal, state = TopicPartition(own[0], own[2]), TopicPartition(own[1], own[2])
    logs = Logs(client, settings, (journal, state, said))
    try:
        await logs.start()
        since = await _snapshot(logs, state, task)
        begin, end = await logs.begin(journal), await logs.visible(journal)
        async for record in logs.records(journal, max(begin, since), end):
            entry = read_entry(record.value or b"")
            task.entry, task.written = entry.number, record.timestamp
            if entry.number > (task.snapshot_entry or 0):
                task.positions |= {fed.source: fed.end for fed in entry.fed}
        if task.positions:
            ends = [(await logs.visible(partition_of(source)), at) for source, at in task.positions.items()]
            task.lag = sum(max(0, end - at) for end, at in ends)
        last = await logs.last(said, await logs.begin(said), await logs.visible(said))
        task.version = None if last is None else _version(last.value or b"")
    finally:
        await logs.close()


async def _snapshot(logs: Logs, state: TopicPartition, task: TaskStatus) -> int:
    """Fill in what the newest snapshot tells; returns from where on the journal has what came after it."""
    begin, end = await logs.begin(state), await logs.visible(state)
    found = await _newest_manifest(logs, state, begin, end)
    if found is None:
        return 0
    generation = read_generation(found.value or b"")
    task.snapshot_entry = task.entry = read_manifest(generation.manifest).entry
    task.snapshot_age_s = round(time.time() - found.timestamp / 1000, 3)
    task.snapshot_bytes = int(dict(found.headers).get(BYTES, b"0"))
    small = msgspec.structs.replace(generation, places=generation.places[-1:])
    (blob,) = await logs.blobs(state, small)
    task.positions = dict(restore(blob, _SMALL)["positions"])
    return generation.journal


async def _newest_manifest(
    logs: Logs, state: TopicPartition, begin: int, end: int
) -> ConsumerRecord[bytes, bytes] | None:
    """Look for it from the end on: the pieces of the next one may stand behind it."""
    span = 16
    while True:
        first, found = max(begin, end - span), None
        async for record in logs.records(state, first, end):
            found = record if record.key == MANIFEST else found
        if found is not None or first == begin:
            return found
        span *= 8


def _version(value: bytes) -> Version | None:
    """Return the version that a prediction, or the head of a published model, names."""
    try:
        told = orjson.loads(value.partition(b"\n")[0])
        lineage, count = told["version"] if "version" in told else (told["lineage"], told["count"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return str(lineage), int(count)

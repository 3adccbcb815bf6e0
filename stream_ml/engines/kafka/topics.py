"""The topics of a pipeline: which there are, what they need, made where allowed, checked where they exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from stream_ml.client.loop import RIGHTS
from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import LostError, deadline, let_go
from stream_ml.engines.kafka.rights import Right, RightsRequest, missing_rights
from stream_ml.errors import UsageError
from stream_ml.plan.bundle import Plan

OUTPUTS = ("predictions", "examples", "dead", "alarms", "metrics")
LOGS = ("journal", "state")
MODELS = "models"
_EXISTS, _UNKNOWN = 36, 3
_LARGEST = 1_000_000  # bytes: our batches stay below it
_FOREVER = {"retention.ms": "-1", "retention.bytes": "-1"}
_WIDE = {"max.message.bytes": "8388608"}  # an entry stays below 1 MB but for a single record that is larger
_READ = frozenset({Right.READ})
_ALL = frozenset(Right)
_PLAIN = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be.

    Parameters
    ----------
    configs
        Settings that it is made with.
    ours
        Whether only the pipeline writes to it.
    """

    name: str
    partitions: int
    configs: Mapping[str, str]
    ours: bool


def names(pipeline: str) -> dict[str, str]:
    """Return the topics that a pipeline writes, by kind.

    Examples
    --------
    >>> names("fraud")["journal"]
    'fraud.journal'
    """
    return {kind: f"{pipeline}.{kind}" for kind in (*OUTPUTS, *LOGS, MODELS)}


def wanted(plan: Plan, partitions: int) -> list[Topic]:
    """Return the topics that a pipeline needs: its inputs, then what it writes.

    Parameters
    ----------
    partitions
        Of the events' topic: as many tasks. With more than one, the learner has a partition of its own after theirs.
    """
    inputs = {stream.topic: stream.role for stream in reversed(plan.scorer.streams)}
    own = names(plan.name)
    tasks = partitions + (partitions > 1)
    found = [
        Topic(topic, 1 if role == "table" else partitions, _PLAIN, ours=False) for topic, role in inputs.items()
    ]
    found += [Topic(own[kind], partitions, _PLAIN, ours=True) for kind in ("predictions", "examples")]
    found += [Topic(own[kind], tasks, _PLAIN, ours=True) for kind in ("dead", "alarms", "metrics")]
    found += [Topic(own[kind], tasks, _PLAIN | _FOREVER | _WIDE, ours=True) for kind in LOGS]
    if partitions > 1:
        found.append(Topic(own[MODELS], 1, _PLAIN | _FOREVER, ours=True))
    return found


def commands(topics: Iterable[Topic], servers: str, replication: int) -> list[str]:
    """Return the commands with which an operator makes the topics."""
    factor = "" if replication < 0 else f" --replication-factor {replication}"
    return [
        f"kafka-topics.sh --bootstrap-server {servers} --create --if-not-exists --topic {topic.name} "
        f"--partitions {topic.partitions}{factor}"
        + "".join(f" --config {name}={value}" for name, value in topic.configs.items())
        for topic in topics
    ]


class Admin:
    """Asks and changes what the brokers know of topics. `start`, then calls, then `close`."""

    def __init__(self, client: Mapping[str, Any], settings: KafkaSettings) -> None:
        self._settings = settings
        self._client = AIOKafkaAdminClient(**client)

    async def start(self) -> None:
        """Connect."""
        async with deadline(self._settings.deadline_s, "connecting to Kafka"):
            await self._client.start()

    async def close(self) -> None:
        """Let go of the connections."""
        await let_go(self._client.close())

    async def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """Return how many partitions each topic has; those that do not exist are left out."""
        async with deadline(self._settings.deadline_s, "asking for topics"):
            existing = set(await self._client.list_topics())
            asked = [topic for topic in topics if topic in existing]
            told = await self._client.describe_topics(asked) if asked else []
        return {one["topic"]: len(one["partitions"]) for one in told if one["error_code"] == 0}

    async def ready(self, plan: Plan) -> int:
        """Make what is missing, check what is there; returns the number of partitions of the events' topic.

        Raises
        ------
        UsageError
            If a topic is missing and may not be made, or is not as it must be.
        """
        events = plan.scorer.streams[0].topic
        there = await self.partitions([topic.name for topic in wanted(plan, 1)] + [f"{plan.name}.{MODELS}"])
        partitions = there.get(events, self._settings.partitions)
        topics = wanted(plan, partitions)
        await self._require_rights(topics)
        missing = [topic for topic in topics if topic.name not in there]
        if missing and not self._settings.create_topics:
            cause = f"Topics are missing: {', '.join(topic.name for topic in missing)}"
            raise UsageError(cause, "Make them as `stream-ml topics PIPELINE.py` prints, or set create_topics")
        if missing:
            await self._make(missing)
            await self._require_rights(topics)
        self._count(plan, topics, there, partitions)
        await self._check(topics)
        return partitions

    async def _require_rights(self, topics: list[Topic]) -> None:
        """Refuse a user who may not do all that a worker does, some of it only after hours."""
        needed = {topic.name: _ALL if topic.ours else _READ for topic in topics}
        async with deadline(self._settings.deadline_s, "asking for rights"):
            told = await self._client._send_request(RightsRequest(needed))  # noqa: SLF001 - aiokafka has none of its own
        if missing := missing_rights(needed, told):
            cause = f"Kafka refuses this user: it needs {'; '.join(missing)}"
            raise UsageError(cause, RIGHTS)

    def _count(self, plan: Plan, topics: list[Topic], there: Mapping[str, int], partitions: int) -> None:
        tables = {stream.topic for stream in plan.scorer.streams if stream.role == "table"}
        for topic in topics:
            found = there.get(topic.name, topic.partitions)
            if topic.name in tables or found == topic.partitions or (topic.ours and found > topic.partitions > 1):
                continue
            if topic.ours:
                cause = f"{topic.name} has {found} partitions, and {partitions} tasks need {topic.partitions}"
                raise UsageError(
                    cause,
                    "The number of partitions of a running pipeline cannot change: keys would move away from their "
                    "state. Run it to its end, then start it under another name",
                )
            cause = f"{topic.name} has {found} partitions, and {plan.scorer.streams[0].topic} has {partitions}"
            raise UsageError(cause, "Events and labels meet in one partition: make both topics with the same number")

    async def drop(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete the records of partitions before offsets."""
        wanted = {tp: RecordsToDelete(offset) for tp, offset in before.items() if offset > 0}
        if wanted:
            async with deadline(self._settings.deadline_s, "dropping old records"):
                await self._client.delete_records(wanted)

    async def _make(self, topics: list[Topic]) -> None:
        factor = self._settings.replication_factor
        nowhere: dict[int, list[int]] | None = {} if factor < 0 else None  # aiokafka wants it where -1 is given
        async with deadline(self._settings.deadline_s, "making topics"):
            told = await self._client.create_topics(
                [
                    NewTopic(topic.name, topic.partitions, factor, nowhere, dict(topic.configs))
                    for topic in topics
                ]
            )
        for name, code, *rest in told.topic_errors:
            if code not in {0, _EXISTS}:
                message = next((one for one in rest if isinstance(one, str)), "") or for_code(code).__name__
                cause = f"The topic {name} cannot be made: {message}"
                raise UsageError(cause, "Make the topics as `stream-ml topics PIPELINE.py` prints")
        await self._appear({topic.name for topic in topics})

    async def _appear(self, missing: set[str]) -> None:
        """Wait until every broker's answer knows topics that were just made."""
        for _ in range(200):
            if missing <= (await self.partitions(missing)).keys():
                return
        cause = f"topics were made and do not appear: {', '.join(sorted(missing))}"
        raise LostError(cause)

    async def _check(self, topics: list[Topic]) -> None:
        """Refuse settings with which records would be lost or refused."""
        topics = [topic for topic in topics if topic.ours]
        async with deadline(self._settings.deadline_s, "asking for the topics' settings"):
            told = await self._client.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
            )
        configs = {
            resource[3]: {entry[0]: entry[1] for entry in resource[4]} for one in told for resource in one.resources
        }
        for topic in topics:
            self._check_ours(topic, configs.get(topic.name, {}))

    def _check_ours(self, topic: Topic, found: Mapping[str, str]) -> None:
        for name, value in topic.configs.items():
            if name in found and found[name] != value:
                cause = f"{topic.name} has {name}={found[name]}, and needs {value}"
                raise UsageError(
                    cause,
                    f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} "
                    f"--add-config {name}={value}",
                )
        if int(found.get("max.message.bytes", _LARGEST)) < _LARGEST:
            cause = f"{topic.name} has max.message.bytes={found['max.message.bytes']}, and needs {_LARGEST}"
            raise UsageError(cause, f"Raise max.message.bytes of {topic.name}")

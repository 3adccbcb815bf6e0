"""Which tasks are this worker's: membership in a consumer group, and nothing else of the consumer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from stream_ml.config.kafka import KafkaSettings
from stream_ml.engines.kafka.client import deadline

_NEVER_MS = 2**31 - 1


class Members(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A member of a group that shares the partitions of a topic.

    It never fetches: each task reads with a consumer of its own. Both callbacks only tell the worker, so a rebalance
    stops nobody: a task that stays goes on in mid-turn, one that goes is fenced by its next owner.

    Parameters
    ----------
    changed
        Called with the partitions that are ours after each rebalance.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        settings: KafkaSettings,
        group: str,
        topics: Iterable[str],
        changed: Callable[[frozenset[int]], None],
    ) -> None:
        self._topics, self._changed, self._wait_s = list(topics), changed, settings.deadline_s
        self.members: frozenset[int] = frozenset()
        self._consumer = AIOKafkaConsumer(
            **{**client, "request_timeout_ms": settings.rebalance_timeout_ms + 15_000},
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            max_poll_interval_ms=_NEVER_MS,
            max_partition_fetch_bytes=1,
        )

    async def start(self) -> None:
        """Join; the first call of `changed` comes when the group has settled."""
        self._consumer.subscribe(self._topics, listener=self)
        async with deadline(self._wait_s, "joining the group"):
            await self._consumer.start()

    async def close(self) -> None:
        """Leave at once, so that others need not wait for the session's end."""
        async with deadline(5.0, "leaving the group"):
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Wait for what is assigned instead."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Tell the worker; nothing is fetched here."""
        assigned = list(assigned)
        if assigned:
            self._consumer.pause(*assigned)
        self.members = frozenset(tp.partition for tp in assigned if tp.topic == self._topics[0])
        self._changed(self.members)

    async def confirmed(self) -> bool:
        """Ask the group whether it still counts this worker as a member: after a pause the worker may not know.

        A member that was put out meanwhile hears of it here and joins again, which ends in a call of `changed`.
        """
        group = self._consumer._coordinator  # noqa: SLF001 - aiokafka has no public name for a heartbeat
        if group.generation < 0:  # it is joining
            return False
        async with deadline(self._wait_s, "asking the group"):
            found: bool = await group._do_heartbeat()  # noqa: SLF001
        return found

    async def tell(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit positions for those who watch lag; nobody reads them back."""
        mine = self._consumer.assignment()
        told = {tp: OffsetAndMetadata(at, "") for tp, at in positions.items() if tp in mine}
        if told:
            async with deadline(self._wait_s, "telling positions"):
                await self._consumer.commit(told)

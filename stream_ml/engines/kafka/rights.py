"""What this user may do with topics, asked before anything is begun: some rights would be missed after weeks only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

_KEY, _VERSION = 3, 8  # of a request for metadata: the newest without tagged fields, Kafka 2.3
_DENIED = 29
_TEXT, _NUMBERS = String("utf-8"), Array(Int32)


class Right(IntEnum):
    """An operation on a topic, with Kafka's number of it."""

    READ = 3
    WRITE = 4
    DELETE = 6
    DESCRIBE_CONFIGS = 10

    def __str__(self) -> str:
        return self.name.title().replace("_", "")


class _Told(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY, API_VERSION = _KEY, _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster", _TEXT),
        ("controller", Int32),
        ("topics", Array(
            ("error", Int16), ("topic", _TEXT), ("internal", Boolean),
            ("partitions", Array(
                ("error", Int16), ("partition", Int32), ("leader", Int32), ("epoch", Int32), ("replicas", _NUMBERS),
                ("isr", _NUMBERS), ("offline", _NUMBERS),
            )),
            ("operations", Int32),
        )),
        ("operations", Int32),
    )  # fmt: skip


class _Asked(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION, RESPONSE_TYPE = _KEY, _VERSION, _Told
    SCHEMA = Schema(("topics", Array(_TEXT)), ("create", Boolean), ("of_cluster", Boolean), ("of_topics", Boolean))


class RightsRequest(Request[_Asked]):  # type: ignore[misc]
    """Asks for topics and for what this user may do with them, which aiokafka's own request for metadata does not.

    Parameters
    ----------
    topics
        Names; none of them is made.
    """

    API_KEY = _KEY

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_Asked]) -> _Asked:
        """Return the request as it is sent."""
        return request_struct_class(self._topics, False, False, True)


def missing_rights(needed: Mapping[str, frozenset[Right]], told: Any) -> list[str]:
    """Return each right that is missing with its topics, in words; topics that do not exist are left out.

    Parameters
    ----------
    needed
        By topic.
    told
        The answer to a `RightsRequest`.
    """
    given = {topic: 0 if error else operations for error, topic, *_, operations in told.topics if error in {0, _DENIED}}
    lacks = {
        right: sorted(topic for topic in given if right in needed[topic] and not given[topic] >> right & 1)
        for right in Right
    }
    return [f"{right} on {', '.join(topics)}" for right, topics in lacks.items() if topics]

"""What of aiokafka is bent, in one place, and the errors it raises in our words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
)
from aiokafka.producer import sender

from stream_ml.client.loop import REFUSED, RIGHTS, denied, refusal
from stream_ml.errors import StreamMLError, UsageError

#: A transaction that follows the last one at once meets brokers that still write its markers: aiokafka then waits for
#: this long, in seconds. Its own 0.02 would be most of a turn. tests/kafka/test_client_defects.py watches the name.
sender.BACKOFF_OVERRIDE = 0.001

#: In a row, without progress between them; past them the process ends.
MOST_FAILURES = 8
_CLOSE_S = 5.0
_log = logging.getLogger("stream_ml")


class LostError(StreamMLError):
    """A task cannot go on as it is: the outcome of a turn is unknown, or a broker does not answer. Acquire it anew."""


class FencedError(LostError):
    """Another worker has acquired the task."""


@asynccontextmanager
async def deadline(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound a wait, and say in our words what ended it.

    Raises
    ------
    FencedError, LostError
        The task ends; it may be acquired anew.
    UsageError
        The brokers refuse this user.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        cause = f"{what}: no answer within {seconds:g} s"
        raise LostError(cause) from error
    except (ProducerFenced, InvalidProducerEpoch) as error:
        cause = f"{what}: fenced, another worker has taken the task"
        raise FencedError(cause) from error
    except REFUSED as error:
        raise UsageError(denied(what, error), RIGHTS) from error
    except asyncio.CancelledError as error:
        if cancelled():
            raise
        cause = f"{what}: the client gave it up"
        raise LostError(cause) from error
    except (KafkaError, IllegalOperation, AssertionError, OSError) as error:
        if isinstance(error, KafkaConnectionError) and (refused := refusal()):
            raise refused from error
        cause = f"{what}: {type(error).__name__}: {error}"
        raise LostError(cause) from error


def unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what no one awaited, as a loop's exception handler: of aiokafka's own errors nothing is said again.

    A producer that is fenced leaves futures of its batches behind that nobody can wait for; the turn told the error.
    """
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


async def let_go(*closing: Coroutine[Any, Any, Any]) -> None:
    """Close connections; one that does not close in time is left to the operating system."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            told = await asyncio.gather(*closing, return_exceptions=True)
    except TimeoutError:
        _log.warning("a connection did not close within %g s", _CLOSE_S)
    else:
        for error in told:
            if isinstance(error, Exception):
                _log.warning("a connection did not close: %s", error)


def assign_paused(consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
    """Let a consumer know its partitions without reading them yet.

    Asked for the ends of a topic that it does not know, aiokafka sleeps before it asks again: a tenth of a second.
    """
    consumer.assign(list(partitions))
    for tp in partitions:
        consumer.seek(tp, 0)
    consumer.pause(*partitions)


def cancelled() -> bool:
    """Tell whether the running task was cancelled itself: aiokafka also lets out the cancelling of tasks of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def place(tp: TopicPartition) -> str:
    """Spell a partition as sources are named: topic/partition."""
    return f"{tp.topic}/{tp.partition}"


def partition_of(source: str) -> TopicPartition:
    """Return the partition that a source's name says."""
    topic, _, number = source.rpartition("/")
    return TopicPartition(topic, int(number))

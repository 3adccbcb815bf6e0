"""Kafka's clients for programs without an event loop: a loop in a thread of its own, and their errors in our words."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from stream_ml.errors import StorageError, UsageError

T = TypeVar("T")

#: Where a program sets up no logging, what aiokafka says beside its exceptions is not written.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())

_STOP_S = 5.0
#: What brokers answer to a user whom they do not know, or who may not.
REFUSED = (
    AuthenticationFailedError,
    SaslAuthenticationFailed,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)


class Loop:
    """Runs coroutines for a thread that waits for them: made → `run`* → `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stream_ml kafka", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine, which bounds its own waits; an interrupt of the caller cancels it."""
        waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise
        except BaseException:
            waiting.cancel()
            raise

    def close(self) -> None:
        """Stop the thread; what runs is cancelled."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(concurrent.futures.CancelledError):
            self.run(_cancelled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancelled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def stopped(stop: Callable[[], Awaitable[None]]) -> None:
    """Let go of a client's connections, whatever state the brokers are in: stopping may hang or fail with them."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError, AssertionError):
        async with asyncio.timeout(_STOP_S):
            await stop()


@asynccontextmanager
async def answered(servers: str, seconds: float, what: str) -> AsyncIterator[None]:
    """Bound a wait, and say in our words what ended it.

    Parameters
    ----------
    what
        What is waited for, as errors begin: "reading payments".

    Raises
    ------
    StorageError
        The brokers cannot be reached, do not answer in time, or no longer hold what is read.
    UsageError
        They refuse this user, or a record.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        cause = f"{what}: Kafka at {servers} gave no answer within {seconds:g} s"
        raise StorageError(cause, "Check that it runs; STREAM_ML_KAFKA_DEADLINE_S sets how long to wait") from error
    except KafkaConnectionError as error:
        cause = f"Kafka at {servers} cannot be reached"
        raise StorageError(cause, "Check the address, that it runs, and STREAM_ML_KAFKA_SECURITY_PROTOCOL") from error
    except REFUSED as error:
        cause = f"{what}: Kafka refuses this user ({error.description or type(error).__name__})"
        raise UsageError(cause, "Check STREAM_ML_KAFKA_SASL_* and the ACLs that docs/kafka.md lists") from error
    except MessageSizeTooLargeError as error:
        cause = f"{what}: a record is larger than the topic takes"
        raise UsageError(cause, "Raise max.message.bytes of the topic, or send less") from error
    except OffsetOutOfRangeError as error:
        cause = f"{what}: Kafka no longer holds what comes next, its retention has dropped it"
        raise StorageError(cause, "Read on with --from start; keep the topic longer") from error
    except (KafkaError, OSError, AssertionError) as error:
        cause = f"{what}: Kafka at {servers} failed: {type(error).__name__}: {error}"
        raise StorageError(cause, "Check the brokers' logs") from error

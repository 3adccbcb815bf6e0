"""Kafka's clients for programs without an event loop: a loop in a thread of its own, and their errors in our words."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from aiokafka import client as aiokafka_client
from aiokafka.consumer.fetcher import PartitionRecords
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
    TransactionalIdAuthorizationFailed,
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
    TransactionalIdAuthorizationFailed,
)
#: The cure where brokers refuse a user.
RIGHTS = "Check STREAM_ML_KAFKA_SASL_* and the ACLs that docs/kafka.md lists"
_NEEDS = {
    ClusterAuthorizationFailedError: "more rights on the cluster",
    GroupAuthorizationFailedError: "Read on the group",
    TopicAuthorizationFailedError: "more rights on the topic",
    TransactionalIdAuthorizationFailed: "Write on the transactional id",
}
_refusal: ContextVar[BaseException | None] = ContextVar("_refusal", default=None)


class _Refusals(logging.Filter):
    """Keeps why brokers refused a first connection: aiokafka says so to its log alone, and raises something else."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        kept = record.funcName == "bootstrap" and isinstance(error, (*REFUSED, ssl.SSLError))
        if kept and isinstance(error, BaseException):
            _refusal.set(error)
        return not kept


aiokafka_client.log.addFilter(_Refusals())


_contains_abort_marker = PartitionRecords._contains_abort_marker  # noqa: SLF001 - there is no public way past it


def _ends_an_aborted_one(self: PartitionRecords, batch: Any) -> bool:
    """Read past a mark that compaction has emptied, where aiokafka stands still: whatever it ended is over."""
    try:
        return bool(_contains_abort_marker(self, batch))
    except KafkaError:
        return True


PartitionRecords._contains_abort_marker = _ends_an_aborted_one  # noqa: SLF001


def refusal() -> UsageError | None:
    """Return why brokers refused the connection that failed last, None where they did not."""
    error = _refusal.get()
    _refusal.set(None)
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", "") or error.reason
        cause = f"The brokers' certificate is not trusted, or they do not take ours: {why}"
        return UsageError(cause, "Check STREAM_ML_KAFKA_SSL_CAFILE, _CERTFILE and _KEYFILE, and the address")
    return None if error is None else UsageError(denied("connecting", error), RIGHTS)


def denied(what: str, error: BaseException) -> str:
    """Say that brokers refuse this user, and what it lacks."""
    told = ", ".join(sorted(map(str, error.args[0]))) if error.args and isinstance(error.args[0], set) else None
    named = told or " ".join(map(str, error.args))
    needs = _NEEDS.get(type(error))
    why = named or type(error).__name__ if needs is None else f"it needs {needs} {named}".rstrip()
    return f"{what}: Kafka refuses this user: {why}"


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
        if refused := refusal():
            raise refused from error
        cause = f"Kafka at {servers} cannot be reached"
        raise StorageError(cause, "Check the address, that it runs, and STREAM_ML_KAFKA_SECURITY_PROTOCOL") from error
    except REFUSED as error:
        raise UsageError(denied(what, error), RIGHTS) from error
    except MessageSizeTooLargeError as error:
        cause = f"{what}: a record is larger than the topic takes"
        raise UsageError(cause, "Raise max.message.bytes of the topic, or send less") from error
    except OffsetOutOfRangeError as error:
        cause = f"{what}: Kafka no longer holds what comes next, its retention has dropped it"
        raise StorageError(cause, "Read on with --from start; keep the topic longer") from error
    except (KafkaError, OSError, AssertionError) as error:
        cause = f"{what}: Kafka at {servers} failed: {type(error).__name__}: {error}"
        raise StorageError(cause, "Check the brokers' logs") from error

"""Asks Kafka's brokers something, for commands: one line on stderr for what goes wrong, with the right exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from stream_ml.client.address import no_aiokafka
from stream_ml.config.kafka import KafkaSettings, read_kafka_settings
from stream_ml.errors import StorageError

T = TypeVar("T")
Question = Callable[[Mapping[str, Any], KafkaSettings], Coroutine[Any, Any, T]]


def asked(servers: str, question: Callable[[], Question[T]]) -> T:
    """Ask, and wait for the answer.

    Parameters
    ----------
    servers
        host:port, more with commas.
    question
        Gives what is to be run with the client's options and the settings; it is loaded here, with aiokafka.

    Raises
    ------
    UsageError
        If aiokafka is not installed, or the brokers refuse this user.
    StorageError
        If the brokers cannot be reached or do not answer.
    """
    settings = read_kafka_settings()
    try:
        import stream_ml.client.loop  # noqa: F401, PLC0415 - an extra; keeps what aiokafka logs off the screen
        from stream_ml.engines.kafka.client import LostError  # noqa: PLC0415

        ask = question()
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        raise no_aiokafka() from error
    try:
        return asyncio.run(_run(ask(settings.client(servers), settings)))
    except LostError as error:
        cause = f"Kafka at {servers} cannot be asked: {error.cause}"
        raise StorageError(cause, error.cure or "Check the address, and that it runs") from error


async def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    return await coroutine

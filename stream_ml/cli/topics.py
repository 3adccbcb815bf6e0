"""`stream-ml topics`: the topics that a pipeline needs on Kafka, as commands for an operator; or checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_ml.cli.asked import Question, asked
from stream_ml.cli.console import say, write_json
from stream_ml.client.address import kafka_servers, no_aiokafka
from stream_ml.config.kafka import KafkaSettings, read_kafka_settings
from stream_ml.config.settings import read_settings
from stream_ml.errors import UsageError
from stream_ml.language.loader import load
from stream_ml.plan.bundle import Plan, compile_plan

_SERVERS = "127.0.0.1:9092"


def topics(pipeline: Path, on: str | None, partitions: int | None, *, check: bool, as_json: bool) -> None:
    """Print the commands, or check what is there.

    Raises
    ------
    UsageError
        If a topic is missing or is not as it must be; or the URL names no Kafka.
    """
    settings = read_kafka_settings(partitions=partitions)
    url = read_settings(url=on).url
    servers = None if url is None else kafka_servers(url)
    if servers is None and (on is not None or check):
        cause = "Only Kafka has topics that are made beforehand" if on is not None else "No brokers are named"
        raise UsageError(cause, "Write --on kafka://HOST:PORT")
    plan = compile_plan(load(pipeline))
    if check:
        found = asked(servers or _SERVERS, lambda: _checked(plan))
        if partitions is not None and found != partitions:
            cause = f"The topics of {plan.name} are for {found} partitions, not {partitions}"
            raise UsageError(cause, "A topic's partitions cannot be made fewer, and a running pipeline's not more")
        if as_json:
            write_json({"pipeline": plan.name, "partitions": found})
        else:
            say(f"{plan.name}: every topic is there as it must be, {found} partitions")
        return
    _print(plan, settings, servers or _SERVERS, as_json=as_json)


def _print(plan: Plan, settings: KafkaSettings, servers: str, *, as_json: bool) -> None:
    try:
        from stream_ml.engines.kafka.topics import commands, wanted  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        raise no_aiokafka() from error
    found = wanted(plan, settings.partitions)
    if as_json:
        told = [{"topic": one.name, "partitions": one.partitions, "configs": dict(one.configs)} for one in found]
        write_json({"pipeline": plan.name, "topics": told})
        return
    for line in commands(found, servers, settings.replication_factor):
        say(line)


def _checked(plan: Plan) -> Question[int]:
    from stream_ml.engines.kafka.topics import Admin  # noqa: PLC0415 - an extra

    async def question(client: Mapping[str, Any], settings: KafkaSettings) -> int:
        admin = Admin(client, settings.model_copy(update={"create_topics": False}))
        try:
            await admin.start()
            return await admin.ready(plan)
        finally:
            await admin.close()

    return question

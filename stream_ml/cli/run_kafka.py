"""`stream-ml run --on kafka://...`: a worker of a pipeline on Kafka."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from stream_ml.cli.console import tell, write_json
from stream_ml.cli.ready import settle
from stream_ml.config.kafka import read_kafka_settings
from stream_ml.config.settings import Settings
from stream_ml.engines.watchdog import Watchdog
from stream_ml.errors import UsageError
from stream_ml.language.loader import load

if TYPE_CHECKING:
    from stream_ml.cli.run import RunCommand
    from stream_ml.engines.kafka.worker import Role, Worker


def run_on_kafka(typed: RunCommand, settings: Settings, servers: str, *, as_json: bool) -> None:
    """Run the tasks that the group gives this worker, until a signal or, with `--until-end`, until all is read.

    Raises
    ------
    UsageError
        If aiokafka is not installed, or an option does not go with Kafka.
    """
    if typed.drain:
        cause = "--drain does not go with Kafka"
        raise UsageError(cause, "Start the changed pipeline under another name; it reads its topics from the start")
    if typed.start_from is not None:
        cause = "--start-from does not go with Kafka"
        raise UsageError(cause, "A state saved by replay starts a SQLite file; on Kafka begin at the topics' start")
    kafka = read_kafka_settings()
    pipeline = load(typed.pipeline)
    worker_of, role = _worker(typed.role)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.ERROR)  # a rebalance is no mishap
    settle()
    faulthandler.enable(sys.__stderr__ or sys.stderr)
    with ExitStack() as stack:
        watchdog = stack.enter_context(closing(Watchdog(settings.turn_seconds)))
        worker = worker_of(pipeline, servers, settings, kafka, tell, role, watchdog)
        tell(f"{pipeline.name} on {servers}")
        if settings.metrics_port is not None:
            from stream_ml.engines.kafka.health import Health  # noqa: PLC0415 - only where it is asked for

            health = Health(worker, settings.metrics_host, settings.metrics_port, kafka.stall_s)
            stack.callback(health.close)
            tell(f"health and metrics on http://{settings.metrics_host}:{health.port}")
        asyncio.run(_run(worker, until_end=typed.until_end))
    if as_json:
        write_json(worker.status())
    else:
        tell(f"{pipeline.name}: {'every record is read' if typed.until_end else 'stopped'}")


async def _run(worker: Worker, *, until_end: bool) -> None:
    from stream_ml.engines.kafka.client import unheard  # noqa: PLC0415 - an extra

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unheard)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run(until_end=until_end)


def _worker(role: str | None) -> tuple[type[Worker], Role]:
    try:
        from stream_ml.engines.kafka.worker import Role, Worker  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        cause = "Kafka needs aiokafka, which is not installed"
        raise UsageError(cause, "pip install 'stream-ml[kafka]'") from error
    try:
        return Worker, Role(role or Role.ALL)
    except ValueError as error:
        cause = f"There is no role {role!r}"
        raise UsageError(cause, f"Roles: {', '.join(Role)}") from error

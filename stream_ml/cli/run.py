"""`stream-ml run`: the worker of a pipeline in this process."""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import Bar, progress_bar, tell, write_json
from stream_ml.cli.ready import settle
from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.database import Access, require_place
from stream_ml.engines.local.worker import Carried, End, Until, Watcher, Worker
from stream_ml.engines.watchdog import Watchdog
from stream_ml.errors import UsageError
from stream_ml.language.loader import load
from stream_ml.sessions.session import Session

ENDS = {End.STOPPED: "stopped", End.READ: "every record is read", End.DRAINED: "drained"}


@dataclass(frozen=True, slots=True)
class RunCommand:
    """What was typed."""

    pipeline: Path
    on: str | None
    until_end: bool
    drain: bool
    give_up: bool
    metrics_port: int | None
    start_from: Path | None
    role: str | None
    durable: str | None


def run(typed: RunCommand, *, as_json: bool) -> None:
    """Run until a signal or, with `--until-end` or `--drain`, until every record is read and whatever they say.

    Raises
    ------
    UsageError
        If the declarations have changed since it ran last, or options do not go together.
    BusyError
        If another worker runs this pipeline on this file.
    """
    until = _until(typed)
    settings, url = settings_and_url(typed.on, durable=typed.durable, metrics_port=typed.metrics_port)
    servers = kafka_servers(url)
    if servers is not None:
        from stream_ml.cli.run_kafka import run_on_kafka  # noqa: PLC0415 - aiokafka is loaded where it is asked for

        run_on_kafka(typed, settings, servers, as_json=as_json)
        return
    if typed.role is not None:
        cause = "--role goes with Kafka: the one worker of a SQLite file predicts and learns"
        raise UsageError(cause, "Leave --role out")
    path = database_path(url)
    pipeline = load(typed.pipeline)
    require_place(path, Access.WRITE)
    settle()
    with progress_bar(f"run {pipeline.name}") as bar:
        watchers = [_progress(bar)]
        if settings.metrics_port is not None:
            watchers.append(_endpoint(pipeline.name, settings.metrics_host, settings.metrics_port))
        begun = time.monotonic()
        faulthandler.enable(sys.__stderr__ or sys.stderr)
        with (
            closing(Watchdog(settings.turn_seconds)) as watchdog,
            Worker(pipeline, path, settings, typed.start_from, _all(watchers), watchdog) as worker,
        ):
            tell(f"{pipeline.name} on {path}: {worker.told}, {time.monotonic() - begun:.1f} s")
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _stopper(worker))
            end = worker.run(until=until, waiting=_waiting)
            status = worker.status()
            waits = worker.session.unresolved
    if as_json:
        write_json({"pipeline": pipeline.name, "end": end.value, **status})
    else:
        given_up = f", {waits:,} given up" if end is End.DRAINED and waits else ""
        not_yet = ", not drained yet" if typed.drain and end is not End.DRAINED else ""
        tell(f"{pipeline.name}: {ENDS[end]}{given_up}{not_yet}, next row {status['position']:,}")


def _until(typed: RunCommand) -> Until:
    if typed.give_up and not typed.drain:
        msg = "--give-up says what becomes of labels when a pipeline is drained"
        raise UsageError(msg, "Add --drain")
    if typed.drain and typed.until_end:
        msg = "--drain and --until-end do not go together"
        raise UsageError(msg, "--drain reads to the end too, and then waits for labels")
    if typed.drain:
        return Until.GIVEN_UP if typed.give_up else Until.DRAINED
    return Until.READ if typed.until_end else Until.FOLLOW


def _waiting(session: Session) -> None:
    last = session.last_deadline
    when = "" if last is None else f", the last until {datetime.fromtimestamp(last / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    tell(
        f"{session.plan.name}: every record is read, {session.unresolved:,} wait for their label{when}."
        " Stop with Ctrl-C, or end at once with --give-up"
    )


def _stopper(worker: Worker) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once; nothing stored is lost
        worker.stop()

    return stop


def _progress(bar: Bar) -> Watcher:
    done = 0

    def watch(_session: Session, carried: Carried) -> None:
        nonlocal done
        done += carried.records
        bar.update(done, done + carried.behind)

    return watch


def _endpoint(name: str, host: str, port: int) -> Watcher:
    from stream_ml.engines.local.exposition import serve  # noqa: PLC0415 - only where it is asked for

    return serve(name, host, port)


def _all(watchers: list[Watcher]) -> Watcher:
    def watch(session: Session, carried: Carried) -> None:
        for watcher in watchers:
            watcher(session, carried)

    return watch

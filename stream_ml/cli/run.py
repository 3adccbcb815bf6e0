"""`stream-ml run`: the worker of a pipeline in this process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import Bar, progress_bar, tell, write_json
from stream_ml.cli.ready import settle
from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.database import Access, require_place
from stream_ml.engines.local.worker import Carried, End, Watcher, Worker
from stream_ml.language.loader import load
from stream_ml.sessions.session import Session


@dataclass(frozen=True, slots=True)
class RunCommand:
    """What was typed."""

    pipeline: Path
    on: str | None
    until_end: bool
    metrics_port: int | None
    start_from: Path | None
    durable: str | None


def run(typed: RunCommand, *, as_json: bool) -> None:
    """Run until a signal or, with `--until-end`, until every record is read.

    Raises
    ------
    BusyError
        If another worker runs this pipeline on this file.
    """
    settings, url = settings_and_url(typed.on, durable=typed.durable, metrics_port=typed.metrics_port)
    servers = kafka_servers(url)
    if servers is not None:
        from stream_ml.cli.run_kafka import run_on_kafka  # noqa: PLC0415 - aiokafka is loaded where it is asked for

        run_on_kafka(typed, settings, servers, as_json=as_json)
        return
    path = database_path(url)
    pipeline = load(typed.pipeline)
    require_place(path, Access.WRITE)
    settle()
    with progress_bar(f"run {pipeline.name}") as bar:
        watchers = [_progress(bar)]
        if settings.metrics_port is not None:
            watchers.append(_endpoint(pipeline.name, settings.metrics_host, settings.metrics_port))
        begun = time.monotonic()
        with Worker(pipeline, path, settings, typed.start_from, _all(watchers)) as worker:
            tell(f"{pipeline.name} on {path}: {worker.recovered.told}, {time.monotonic() - begun:.1f} s")
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _stopper(worker))
            end = worker.run(until_end=typed.until_end)
            status = worker.status()
    if as_json:
        write_json({"pipeline": pipeline.name, "end": end.value, **status})
    else:
        how = "every record is read" if end is End.READ else "stopped"
        tell(f"{pipeline.name}: {how}, next row {status['position']:,}")


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

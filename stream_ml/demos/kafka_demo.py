"""`stream-ml demo kafka`: a broker, a producer of card payments, two workers; one is killed and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import orjson
from rich.console import Console

from stream_ml.client.address import KAFKA, kafka_servers
from stream_ml.config.kafka import KafkaSettings
from stream_ml.demos import cards, plot
from stream_ml.demos.broker import QUICK, Broker
from stream_ml.demos.kafka_producer import Load, load_of, produce
from stream_ml.demos.kafka_watch import Reader, Told, told
from stream_ml.demos.show import Rows, bar
from stream_ml.engines.kafka.topics import Admin
from stream_ml.errors import StreamMLError, UsageError
from stream_ml.kernels.jit import warm
from stream_ml.plan.bundle import compile_plan

FOLDER = Path("out") / "kafka"
RATE, SECONDS, PARTITIONS = 500.0, 60.0, 4
#: A killed worker's partitions move after this, not after the 30 s of the default.
SESSION_S = 6.0
_ENVIRONMENT = {
    "STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": str(round(SESSION_S * 1000)),
    "STREAM_ML_KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
}
_TASKS = {*map(str, range(PARTITIONS)), "learner"}
_WAIT_S, _EVERY_S = 120.0, 1.0
COLUMNS = (
    "s", "predictions", "predictions/s", "lag", "worker 1", "worker 2", "fenced", "model version", "AUC, last 10,000",
)  # fmt: skip


class Process:
    """A command of `stream-ml` in a process of its own, its words in a file."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log, self._arguments = log, arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_ml.cli.main", *self._arguments],
                env={**os.environ, **_ENVIRONMENT}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def code(self) -> int | None:
        """How it ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, seconds: float = 15.0) -> int | None:
        """Stop it by its id, with SIGKILL where SIGTERM does not; returns how it ended."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@dataclass
class Course:
    """What happened: moments in epoch seconds."""

    began: float = 0.0
    killed: float = 0.0
    back: float = 0.0
    victim: int = 0
    taken: tuple[str, ...] = ()
    fenced: int = 0
    lags: list[tuple[float, int]] = field(default_factory=list)


def run(
    *,
    json: bool = False,
    rate: float | None = None,
    duration: float | None = None,
    produce_to: str | None = None,
    folder: Path = FOLDER,
) -> dict[str, Any]:
    """Run the demonstration and say what came of it.

    Parameters
    ----------
    json
        Write the summary to stdout as JSON instead of for people.
    rate, duration
        Payments a second, and for how many seconds.
    produce_to
        `kafka://host:port`: only produce, to brokers that run already.
    folder
        What it writes goes there; a run before is replaced.

    Raises
    ------
    StreamMLError
        A worker or the producer ended, or predictions are missing.
    """
    console = Console(stderr=json)
    load = load_of(rate or RATE, duration or SECONDS)
    if produce_to is not None:
        return _only_produce(produce_to, load, console, json=json)
    with bar(console, "compile the kernels (once)") as progress:
        warm(progress)
    if folder.exists():
        rmtree(folder)
    folder.mkdir(parents=True)
    with bar(console, "start a Kafka broker (its jars come through Maven, once)"):
        broker = Broker(folder / "broker", machine=QUICK).start()
    try:
        found = asyncio.run(_Demo(broker.address, folder, load, console).run())
    finally:
        broker.stop()
    _say(found, console, json=json)
    return found


def _only_produce(url: str, load: Load, console: Console, *, json: bool) -> dict[str, Any]:
    servers = kafka_servers(url)
    if servers is None:
        cause = f"{url!r} names no Kafka"
        raise UsageError(cause, "Write kafka://HOST:PORT")
    console.print(f"{load.payments:,} payments, {load.rate:,.0f} a second, to {url}", highlight=False, soft_wrap=True)
    sent = asyncio.run(produce(servers, load))
    if json:
        sys.stdout.write(orjson.dumps(sent).decode() + "\n")
    else:
        console.print(f"{sent['payments']:,} payments and {sent['chargebacks']:,} chargebacks sent", highlight=False)
    return {**sent}


class _Demo:
    def __init__(self, servers: str, folder: Path, load: Load, console: Console) -> None:
        self._servers, self._folder, self._load, self._console = servers, folder, load, console
        url = KAFKA + servers
        pipeline = str(Path(cards.__file__))
        self._workers = [
            Process(folder / f"worker-{number}.log", "run", pipeline, "--on", url, "--metrics-port", "0")
            for number in (1, 2)
        ]
        self._producer = Process(
            folder / "producer.json", "demo", "kafka", "--json", "--produce-to", url,
            "--rate", str(load.rate), "--duration", str(load.seconds),
        )  # fmt: skip
        self._reader = Reader(servers, cards.pipeline.name, PARTITIONS)
        self._course = Course()

    async def run(self) -> dict[str, Any]:
        """Do all of it; whatever comes in between, no process stays."""
        with bar(self._console, f"make topics with {PARTITIONS} partitions, start two workers"):
            admin = Admin(KafkaSettings().client(self._servers), KafkaSettings(partitions=PARTITIONS))
            await admin.start()
            await admin.ready(compile_plan(cards.pipeline))
            await admin.close()
        with self._ended():
            try:
                for worker in self._workers:
                    worker.start()
                await self._until_shared()
                await self._reader.start()
                self._producer.start()
                with Rows(self._console, "Card payments on Kafka", COLUMNS) as rows:
                    await self._watch(rows)
            finally:
                await self._reader.close()
            codes = [await asyncio.to_thread(worker.end) for worker in self._workers]
        return self._summary(codes)

    @contextmanager
    def _ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            for process in (self._producer, *self._workers):
                process.end()

    async def _told(self) -> list[Told]:
        return await asyncio.gather(*(asyncio.to_thread(told, worker.log) for worker in self._workers))

    async def _until_shared(self) -> None:
        """Wait until both have tasks, and every task runs."""
        end = time.monotonic() + _WAIT_S
        while True:
            now = await self._told()
            if all(one.tasks for one in now) and {task for one in now for task in one.tasks} == _TASKS:
                return
            self._check_alive()
            if time.monotonic() > end:
                cause = f"the workers did not share the tasks within {_WAIT_S:.0f} s"
                raise StreamMLError(cause, f"See {self._workers[0].log} and {self._workers[1].log}")
            await asyncio.sleep(0.2)

    def _check_alive(self) -> None:
        for process in (self._producer, *self._workers):
            if process.code not in {None, 0, -signal.SIGKILL}:
                cause = f"a process of the demo ended with code {process.code}"
                raise StreamMLError(cause, f"See {process.log}")

    async def _watch(self, rows: Rows) -> None:
        course = self._course
        course.began = time.time()
        end = course.began + self._load.seconds + _WAIT_S
        while self._producer.code is None or len(self._reader.ids) < self._load.payments:
            self._check_alive()
            if time.time() > end:
                return
            now = await self._told()
            passed = time.time() - course.began
            if rows.due:
                rows.show(self._row(passed, now))
            course.lags.append((time.time(), sum(one.lag for one in now)))
            course.fenced = max(course.fenced, sum(one.fenced for one in now))
            if not course.killed and passed > self._load.seconds / 3:
                course.victim = next((n for n, one in enumerate(now) if "learner" in one.tasks), 0)
                course.taken, course.killed = now[course.victim].tasks, time.time()
                self._workers[course.victim].send(signal.SIGKILL)
                rows.note(f"worker {course.victim + 1} (tasks {', '.join(course.taken)}) is killed with -9")
            if course.killed and not course.back and passed > self._load.seconds * 2 / 3:
                course.back = time.time()
                self._workers[course.victim].start()
                rows.note(f"worker {course.victim + 1} is started again")
            await asyncio.sleep(max(0.0, _EVERY_S - (time.time() - course.began - passed)))

    def _row(self, passed: float, now: list[Told]) -> list[str]:
        reader = self._reader
        rate = reader.since(time.time() - 1.0)
        return [
            f"{passed:.0f}", f"{reader.predictions:,}", f"{rate:,.0f}", f"{sum(one.lag for one in now):,}",
            *(" ".join(one.tasks) or "-" for one in now), str(sum(one.fenced for one in now)),
            f"{reader.version:,}", "" if reader.auc is None else f"{reader.auc:.4f}",
        ]  # fmt: skip

    def _summary(self, codes: list[int | None]) -> dict[str, Any]:
        reader, course = self._reader, self._course
        sent = orjson.loads(self._producer.log.read_bytes().splitlines()[-1])
        own = {int(task) for task in course.taken if task.isdigit()}
        paths = {"worker 1": self._workers[0].log, "worker 2": self._workers[1].log}
        with suppress(UsageError):  # without matplotlib there is no picture, and everything else stands
            paths["picture"] = _picture(self._folder / "rate.png", reader, course)
        return {
            "payments": sent["payments"],
            "chargebacks": sent["chargebacks"],
            "predictions": reader.predictions,
            "lost": sent["payments"] - len(reader.ids),
            "doubled": reader.predictions - len(reader.ids),
            "killed": {"worker": course.victim + 1, "tasks": course.taken},
            "gap_s": round(reader.gap(own, course.killed, time.time()), 2),
            "gap_of_others_s": round(reader.gap(set(range(PARTITIONS)) - own, course.killed, course.back), 2),
            "fenced": course.fenced,
            "model_version": reader.version,
            "roc_auc": reader.auc,
            "exit_codes": codes,
            "files": {name: str(path) for name, path in paths.items()},
        }


def _picture(path: Path, reader: Reader, course: Course) -> Path:
    moments = np.array([at for at, _ in reader.came])
    edges = np.arange(course.began, moments[-1] + 1.0, 1.0)
    counts, _ = np.histogram(moments, edges)
    at = [round(edge * 1000) for edge in edges[:-1]]
    lags = plot.Line("of both workers", [round(t * 1000) for t, _ in course.lags], [lag for _, lag in course.lags])
    panels = {"predictions/s": [plot.Line("read committed", at, counts.tolist())], "lag (records)": [lags]}
    killed = [round(course.killed * 1000), round(course.back * 1000)]
    return plot.draw(path, "Two workers, one killed and back", panels, killed, "killed, back")


def _say(found: dict[str, Any], console: Console, *, json: bool) -> None:
    if json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
        return
    killed = found["killed"]
    console.print(
        f"{found['predictions']:,} predictions of {found['payments']:,} payments, {found['lost']} lost, "
        f"{found['doubled']} doubled, by a read-committed reader.\n"
        f"Worker {killed['worker']} was killed: its partitions gave nothing for {found['gap_s']:.1f} s, of which "
        f"{SESSION_S:.0f} s are the session's timeout; the others for {found['gap_of_others_s']:.1f} s at most.",
        highlight=False,
        soft_wrap=True,
    )
    for name, path in found["files"].items():
        console.print(f"{name:>12}  {path}", highlight=False, soft_wrap=True)
    console.print("Next, on your own Kafka:\n  stream-ml run PIPELINE.py --on kafka://HOST:9092", highlight=False)


__all__ = ["run"]

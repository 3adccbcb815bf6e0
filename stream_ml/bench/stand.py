"""Where a measurement takes place: a copy of the pipeline, a log of its own, and nothing left of either afterwards."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream_ml.bench.copies import copied, write_copy
from stream_ml.bench.load import Load, write_load
from stream_ml.bench.logs import aiokafka_or_refuse
from stream_ml.bench.processes import Child
from stream_ml.bench.records import Records
from stream_ml.bench.seen import EXAMPLES, JOURNAL, PREDICTIONS
from stream_ml.client.address import database_path, kafka_servers
from stream_ml.client.database import Access, open_database
from stream_ml.errors import StreamMLError
from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline

_NAME = 80
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stand:
    """A place to measure in.

    Parameters
    ----------
    source, copy
        The user's file, and the file of the copy that the worker runs.
    name
        The copy's name.
    url
        Where its log is.
    engine
        "sqlite" or "kafka".
    partitions
        Of its events.
    folder
        For files of the measurement.
    pipeline
        The copy, loaded.
    """

    source: Path
    copy: Path
    name: str
    url: str
    engine: str
    partitions: int
    folder: Path
    pipeline: Pipeline

    @property
    def shared(self) -> bool:
        """Whether a learner of its own learns from all partitions."""
        return self.partitions > 1 and self.pipeline.task != "features"

    def load(self, **given: object) -> Load:
        """Return a load for this place."""
        fields = {"pipeline": str(self.source.resolve()), "name": self.name, "url": self.url, **given}
        return msgspec.convert(fields, Load)

    def worker(self, *, until_end: bool = False) -> Child:
        """Start `stream-ml run` on the copy."""
        ends = ["--until-end"] if until_end else []
        line = ["-m", "stream_ml.cli.main", "run", str(self.copy), "--on", self.url, *ends, "--json"]
        return Child(line, self.folder / "worker.txt")

    def reader(self, out: Path, id_field: str = "id") -> Child:
        """Start a reader of everything that the copy puts out."""
        followed = {f"{self.name}.{kind}": list(range(self.partitions)) for kind in (PREDICTIONS, EXAMPLES)}
        if self.shared:
            followed[f"{self.name}.{JOURNAL}"] = [self.partitions]
        topics = self.folder / "topics.json"
        topics.write_bytes(msgspec.json.encode(followed))
        line = ["-m", "stream_ml.bench.reader", self.url, self.name, str(topics), str(out), id_field]
        return Child(line, self.folder / "reader.txt")

    def generator(self, load: Load, out: Path) -> Child:
        """Start the generator of a load."""
        file = self.folder / f"{out.stem}.json"
        write_load(load, file)
        return Child(["-m", "stream_ml.bench.generator", str(file), str(out)], self.folder / f"{out.stem}.txt")


@contextmanager
def stand(source: Path, url: str, data: dict[str, str], say: Say) -> Iterator[Stand]:
    """Make a place to measure a pipeline in, and take it away afterwards.

    Parameters
    ----------
    source
        The user's file.
    url
        On Kafka, topics of the copy's own are made there and deleted in the end. On SQLite a file that is not there yet
        is made and kept; beside one that exists a temporary one is made.
    data
        Files by topic, whose records are repeated.
    say
        Takes a line for people.

    Raises
    ------
    StreamMLError
        The pipeline, the log or the made-up records are refused.
    """
    mark = f"bench-{secrets.token_hex(3)}"
    servers = kafka_servers(url)
    with tempfile.TemporaryDirectory(prefix="stream-ml-bench-") as made:
        folder = Path(made)
        name = f"{load(source).name[:_NAME]}-{mark}"
        pipeline = copied(str(source), name)
        copy = write_copy(source, name, folder)
        Records(pipeline, Load(pipeline=str(source), name=name, url=url, events=1, data=data)).check()
        if servers is None:
            with _file(url, name, say) as own:
                yield Stand(source, copy, name, own, "sqlite", 1, folder, pipeline)
        else:
            with _topics(servers, pipeline, say) as partitions:
                yield Stand(source, copy, name, url, "kafka", partitions, folder, pipeline)


@contextmanager
def _file(url: str, name: str, say: Say) -> Iterator[str]:
    path = database_path(url)
    kept = not path.exists()
    if not kept:
        path = path.with_name(f"{path.stem}-{name}.db")
    say(f"The measurement runs a copy, {name}, on {path}" + ("" if kept else ", removed afterwards"))
    open_database(path, Access.WRITE).close()
    try:
        yield f"sqlite:///{path}"
    finally:
        if not kept:
            for one in path.parent.glob(f"{path.name}*"):
                one.unlink(missing_ok=True)


@contextmanager
def _topics(servers: str, pipeline: Pipeline, say: Say) -> Iterator[int]:
    aiokafka_or_refuse()
    say(f"The measurement runs a copy, {pipeline.name}, whose topics begin with that name; they are deleted afterwards")
    try:
        yield asyncio.run(make_topics(servers, pipeline))
    finally:
        with suppress(StreamMLError):
            asyncio.run(delete_topics(servers, pipeline.name))


async def make_topics(servers: str, pipeline: Pipeline) -> int:
    """Make the topics of a copy that are not there yet; returns how many partitions its events have."""
    from stream_ml.config.kafka import read_kafka_settings  # noqa: PLC0415 - goes with the extra
    from stream_ml.engines.kafka.topics import Admin  # noqa: PLC0415
    from stream_ml.plan.bundle import compile_plan  # noqa: PLC0415

    settings = read_kafka_settings()
    admin = Admin(settings.client(servers), settings)
    await admin.start()
    try:
        return await admin.ready(compile_plan(pipeline))
    finally:
        await admin.close()


async def delete_topics(servers: str, name: str) -> None:
    """Delete the topics of a copy."""
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - an extra

    from stream_ml.config.kafka import read_kafka_settings  # noqa: PLC0415
    from stream_ml.engines.kafka.client import deadline  # noqa: PLC0415

    settings = read_kafka_settings()
    admin = AIOKafkaAdminClient(**settings.client(servers))
    async with deadline(settings.deadline_s, "deleting the measurement's topics"):
        await admin.start()
        try:
            own = [one for one in await admin.list_topics() if one.startswith((f"{name}.", f"{name}-"))]
            await admin.delete_topics(own)
        finally:
            await admin.close()

"""Apache Kafka brokers as processes of this machine, for the demonstration, the benchmarks and the tests.

No container is needed: the jars come through Maven (`kafka_jars`) and run under Java 17, each process controller and
broker at once (KRaft), on ports of 127.0.0.1, with data and log in a folder of its own.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_ml.demos.broker_place import HOST, Member, cluster_id, free_members, properties
from stream_ml.demos.kafka_jars import java
from stream_ml.errors import StreamMLError, UsageError

QUIET = 0.05
#: For brokers that live shortly: a third less CPU until they answer, less speed after that.
QUICK = ("-XX:TieredStopAtLevel=1",)
#: As Kafka's own script starts a broker: pauses of some 20 ms, where the collector that we choose to save CPU makes 60.
SHIPPED = (
    "-XX:-UseSerialGC", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)  # fmt: skip

_JAVA = (
    "-XX:+UseSerialGC", "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-Dorg.slf4j.simpleLogger.showThreadName=false",
)  # fmt: skip
#: Kills the process named by its argument when its own input ends without a word, that is, when we are gone.
_KEEPER = 'read -r word || kill -KILL "$0"'


class Broker:
    """A broker that is one process: made, `start`ed, then stopped, killed, paused and started again at will.

    stopped → start → running; running → stop | kill → stopped; running → pause → paused → resume → running;
    paused → stop | kill → stopped. `start` on the same folder finds what was stored, on the same ports.

    When this process ends, in whatever way, kill -9 included, the broker is killed: a keeper, a shell in a session of
    its own, reads a pipe that only we hold. (Linux's signal on the parent's death comes when the *thread* ends that
    started the broker, and asks for code between fork and exec.)

    Parameters
    ----------
    folder
        Data and log; made when it is missing.
    options
        Properties of the broker, added to ours or in their place.
    machine
        Options of the Java machine, as `QUICK` or `SHIPPED`; the heap is 512 MB, at most 1 GB, unless they say.
    members
        Every member of the cluster, this one first; empty is a cluster of one on free ports.
    cluster
        The cluster's id, the same for each member; empty makes one.

    Examples
    --------
    >>> import tempfile
    >>> Broker(Path(tempfile.gettempdir()) / "kafka").running
    False
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Mapping[str, str] | None = None,
        machine: Sequence[str] = (),
        members: Sequence[Member] = (),
        cluster: str = "",
    ) -> None:
        self.folder = folder
        self.options = dict(options or {})
        self.machine = tuple(machine)
        self.members = tuple(members) or free_members(1)
        self.cluster = cluster or cluster_id()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def node(self) -> int:
        """The id of this broker in its cluster."""
        return self.members[0].node

    @property
    def port(self) -> int:
        """The port for clients."""
        return self.members[0].port

    @property
    def address(self) -> str:
        """What clients call `bootstrap_servers`."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What the process wrote, all of its starts after one another."""
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        if self._process is not None and self._process.poll() is not None:
            self._let_go()
        return self._process is not None

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises
        ------
        UsageError
            It does not run.
        """
        return self._living().pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, seconds: float = 120.0) -> Self:
        """Start it and wait for real answers: from its group coordinator and its transaction coordinator.

        Parameters
        ----------
        seconds
            How long it may take.

        Raises
        ------
        UsageError
            It runs already; Java, Maven or aiokafka is missing.
        StreamMLError
            It ended, or gave no answer in time; what it logged last is part of the message, and it is stopped.
        """
        self.launch()
        self.wait([self.node], seconds)
        return self

    def launch(self) -> None:
        """Start the process and wait for nothing, as a member does that needs the others.

        Raises
        ------
        UsageError, StreamMLError
            As `start`.
        """
        if self.running:
            cause = f"broker {self.node} runs already"
            raise UsageError(cause)
        settings = self._format()
        command = java("kafka.Kafka", str(settings), options=("-Xms512m", "-Xmx1g", *_JAVA, *self.machine))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, str(self._process.pid)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def wait(self, nodes: Sequence[int], seconds: float = 120.0) -> None:
        """Wait until it answers and sees all of `nodes`.

        Parameters
        ----------
        nodes
            Ids of brokers that must be in its metadata.
        seconds
            How long it may take.

        Raises
        ------
        StreamMLError
            As `start`.
        """
        deadline = time.monotonic() + seconds
        try:
            process = self._living()
            while not _listens(self.port):
                self._check(process, deadline)
            with ThreadPoolExecutor(1) as pool:  # the caller may run a loop of its own
                pool.submit(asyncio.run, _answer(self.address, frozenset(nodes), deadline)).result()
        except TimeoutError as error:
            cause = f"broker {self.node} gave no answer within {seconds:g} s"
            failed = StreamMLError(cause, self._told())
            self.kill()
            raise failed from error
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 30.0) -> None:
        """Stop it with SIGTERM, and with SIGKILL when that takes too long; nothing when it does not run.

        Parameters
        ----------
        seconds
            How long it may take to stop in order.
        """
        if self.running:
            process = self._living()
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        self.kill()

    def kill(self) -> None:
        """Kill it with SIGKILL, paused or not; nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._let_go()

    def pause(self) -> None:
        """Hold it with SIGSTOP: connections stay open and nothing answers.

        Raises
        ------
        UsageError
            It does not run.
        """
        self._living().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on with SIGCONT.

        Raises
        ------
        UsageError
            It does not run.
        """
        self._living().send_signal(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """Return what it logged last.

        Parameters
        ----------
        lines
            At most so many.
        """
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _living(self) -> subprocess.Popen[bytes]:
        if not self.running or self._process is None:
            cause = f"broker {self.node} does not run"
            raise UsageError(cause)
        return self._process

    def _let_go(self) -> None:
        """Send the keeper home with a word, once the process has ended and its id may be another's."""
        if self._keeper is not None:
            self._keeper.communicate(b"done\n")
        self._process = self._keeper = None

    def _check(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Wait a moment for the end of the process, which is not to come."""
        try:
            code = process.wait(QUIET)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise TimeoutError from None
            return
        cause = f"broker {self.node} ended with code {code}"
        raise StreamMLError(cause, self._told())

    def _told(self) -> str:
        return f"The end of {self.log}:\n{self.tail()}"

    def _format(self) -> Path:
        """Write the settings and, the first time, format the folder; returns the file of settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "server.properties"
        all_of_them = properties(self.members, self.folder / "data") | self.options
        lines = [f"{name}={value}\n" for name, value in all_of_them.items()]
        settings.write_text("".join(lines), encoding="utf-8")
        if not (self.folder / "data" / "meta.properties").exists():
            words = ["kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster}", "-c", str(settings)]
            done = subprocess.run(
                java(*words, options=("-Xmx128m", *_JAVA, *QUICK)),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                cause = f"the folder of broker {self.node} could not be formatted"
                raise StreamMLError(cause, f"It said:\n{done.stdout}{done.stderr}")
        return settings

def _listens(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1.0)
        return tried.connect_ex((HOST, port)) == 0


async def _answer(address: str, nodes: frozenset[int], deadline: float) -> None:
    """Return when a broker sees `nodes`, a group's offsets can be read and a transactional id is given."""
    try:
        from aiokafka import AIOKafkaProducer  # noqa: PLC0415  (an extra: everything else runs without it)
        from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415
        from aiokafka.errors import KafkaError  # noqa: PLC0415
    except ImportError as error:
        cause = "Kafka needs aiokafka"
        raise UsageError(cause, "pip install 'stream-ml[kafka]'") from error

    async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=address)
            try:
                await admin.start()
                seen = {one["node_id"] for one in (await admin.describe_cluster())["brokers"]}
                await admin.list_consumer_group_offsets("stream-ml.ready")
                if nodes <= seen:
                    break
            except KafkaError:  # not yet
                pass
            finally:
                await admin.close()
            await asyncio.sleep(QUIET)
        producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id="stream-ml.ready")
        try:
            await producer.start()
        finally:
            await producer.stop()

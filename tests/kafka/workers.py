"""Workers as real processes, and what is asked of them when a fault is over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.kafka.failpoints import Failpoint
from tests.local.processes import ROOT

#: What a worker of a test waits for at most.
SHORT = {
    "STREAM_ML_KAFKA_SESSION_TIMEOUT_MS": "1500",
    "STREAM_ML_KAFKA_REBALANCE_TIMEOUT_MS": "6000",
    "STREAM_ML_KAFKA_HEARTBEAT_INTERVAL_MS": "250",
    "STREAM_ML_KAFKA_TRANSACTION_TIMEOUT_MS": "10000",
    "STREAM_ML_KAFKA_REQUEST_TIMEOUT_MS": "5000",
    "STREAM_ML_KAFKA_DEADLINE_S": "10",
    "STREAM_ML_BATCH": "64",
}


async def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> float:
    """Wait for a condition; returns how long it took, seconds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


@dataclass
class Process:
    """A worker's process."""

    nursery: Nursery
    pid: int
    log: Path
    _code: int | None = field(default=None)

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs, negative for the signal that ended it."""
        if self._code is None:
            self._code = self.nursery.ask({"poll": self.pid})["code"]
        return self._code

    @property
    def told(self) -> str:
        """What it wrote."""
        return self.log.read_text(encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        assert self.code is None, f"it ended with {self.code}:\n{self.told}"
        os.kill(self.pid, number)

    async def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end; returns its exit code."""
        await until(lambda: self.code is not None, f"the end of the worker that says\n{self.told}", seconds)
        assert self.code is not None
        return self.code

    async def stopped(self, seconds: float = 30.0) -> None:
        """Stop it with SIGTERM, and require that it ends well."""
        self.signal(signal.SIGTERM)
        code = await self.ended(seconds)
        assert code == 0, f"{code}:\n{self.told}"

    def kill(self) -> None:
        """End it in any case."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The process that forks workers: see tests.kafka.nursery."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka.nursery"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked: IO[str] = self._process.stdin
        self._told: IO[str] = self._process.stdout
        assert self._told.readline() == "ready\n"
        self._numbers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.close()
        self._process.wait(30)
        self._told.close()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        self._asked.write(json.dumps(order) + "\n")
        self._asked.flush()
        found: dict[str, Any] = json.loads(self._told.readline())
        return found

    def start(
        self,
        file: Path,
        address: str,
        *options: str,
        env: Mapping[str, str] | None = None,
        failpoint: tuple[Failpoint, str, int, signal.Signals | float] | None = None,
        slow: tuple[str, int, int, float] | None = None,
    ) -> Process:
        """Start `stream-ml run FILE --on kafka://ADDRESS` with options, a failpoint, user code that is slow."""
        self._numbers += 1
        log = file.with_name(f"worker-{self._numbers}.log")
        log.touch()
        argv = ["run", str(file), "--on", f"kafka://{address}", *options]
        own = {**SHORT, **(env or {})}
        told = self.ask({"argv": argv, "env": own, "log": str(log), "failpoint": failpoint, "slow": slow})
        return Process(self, told["pid"], log)


def stands_still(pid: int) -> bool:
    """Tell whether a process was stopped with SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def all_end(workers: Iterable[Process]) -> None:
    """Kill those that still run."""
    for one in workers:
        one.kill()
        await one.ended()

"""Processes of a measurement: each in a session of its own, ended by its id, its CPU time read by the kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import orjson

from stream_ml.errors import StreamMLError

_PATIENCE_S = 20.0
_TOLD_BYTES = 2_000


class Child:
    """A Python process: its stdout in lines as they come, its stderr in a file; stopped on leaving a `with`.

    Parameters
    ----------
    arguments
        For the interpreter.
    told
        File that takes its stderr.
    python
        Another interpreter, with packages of its own.
    """

    def __init__(self, arguments: Sequence[str], told: Path, python: str = sys.executable) -> None:
        self.told = told
        self.cpu_s = 0.0
        self._last: dict[str, int] = {}
        self._lines: list[bytes] = []
        self._stopped = False
        with told.open("wb") as err:
            self._process = subprocess.Popen(
                [python, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def last(self) -> Mapping[str, int]:
        """The last line of its stdout, where lines are JSON objects."""
        return self._last

    @property
    def out(self) -> bytes:
        """All of its stdout so far."""
        return b"".join(self._lines)

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.returncode is None and not self._wait(0.0)

    def says(self, text: str) -> bool:
        """Tell whether its stderr holds a text."""
        return text in self.told.read_text(encoding="utf-8", errors="replace")

    def finish(self, seconds: float) -> bytes:
        """Close its stdin, wait for its end, return its stdout.

        Raises
        ------
        StreamMLError
            It failed, or takes too long.
        """
        self._close_stdin()
        if not self._wait(seconds):
            cause = f"A process of the measurement did not end within {seconds:g} s: {self._process.args!r}"
            raise StreamMLError(cause)
        self.check()
        self._reading.join(_PATIENCE_S)
        return self.out

    def check(self) -> None:
        """Raise if it ended with an error.

        Raises
        ------
        StreamMLError
            With what it said last.
        """
        if not self.running and self._process.returncode and not self._stopped:
            said = self.told.read_text(encoding="utf-8", errors="replace")[-_TOLD_BYTES:].strip()
            cause = f"A process of the measurement ended with {self._process.returncode}: {said}"
            raise StreamMLError(cause)

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL; nothing if it has ended."""
        self._stopped = True
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            self._close_stdin()
            if not self._wait(_PATIENCE_S):
                self._process.kill()
                self._wait(_PATIENCE_S)
        self._reading.join(_PATIENCE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._close_stdin()

    def _close_stdin(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def _wait(self, seconds: float) -> bool:
        """Wait for its end with wait4, which tells the CPU time; returns whether it has ended."""
        end, pause = time.monotonic() + seconds, threading.Event()
        while self._process.returncode is None:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = used.ru_utime + used.ru_stime
                break
            if time.monotonic() >= end:
                return False
            pause.wait(0.01)
        return True

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            self._lines = [*self._lines[-100:], line]
            if line.startswith(b"{"):
                try:
                    self._last = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue


def cpu_of(pid: int) -> float | None:
    """Return the CPU seconds that a process has used, user and system; None where the system does not say."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text(encoding="ascii", errors="replace").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""A process that forks workers: each is a process of its own that runs the command, without the seconds of its start.

Reads orders as JSON lines: {"argv", "env", "log", "failpoint", "slow"} starts one and answers {"pid"}; {"poll": pid}
answers {"code"}, None while it runs, negative for a signal. At the end of its input it kills what it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

import stream_ml.engines.kafka.worker  # noqa: F401 - loaded once
from stream_ml.cli.main import main as command
from stream_ml.cli.ready import settle
from tests.kafka.failpoints import Failpoint, install, install_slow


def main() -> None:
    settle()
    running: set[int] = set()
    ended: dict[int, int] = {}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            pid = asked["poll"]
            if pid in running:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    running.discard(pid)
                    ended[pid] = os.waitstatus_to_exitcode(status)
            told: dict[str, Any] = {"code": ended.get(pid)}
        else:
            pid = os.fork()
            if pid == 0:
                child(asked)
            running.add(pid)
            told = {"pid": pid}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def child(asked: dict[str, Any]) -> None:
    """Be a worker; does not return."""
    code = 70
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.update(asked["env"])
        if asked["failpoint"] is not None:
            name, task, turn, deed = asked["failpoint"]
            install(Failpoint(name), task, turn, deed)
        if asked["slow"] is not None:
            install_slow(*asked["slow"])
        sys.argv = ["stream-ml", *asked["argv"]]
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

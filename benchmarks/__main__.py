"""Run benchmarks one after the other: ``python -m benchmarks [NAME ...] [--quick]``; all of them without a name.

Quick ones count for nothing, so two of them run at a time, each in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

from benchmarks.command import QUICK, run
from benchmarks.peers.page import summary
from benchmarks.report import read, write
from benchmarks.side_by_side import RESULTS

#: Modules with a `benchmark(quick)`, in the order in which they are run, the longest ones first; each is a command of
#: its own as well.
NAMES = (
    "peers_latency", "kafka", "recovery", "peers", "shuffle", "snapshot", "start", "compression", "workers", "nexmark",
    "follow", "history", "cards", "flights", "local", "keys", "models", "equality",
)  # fmt: skip
AT_ONCE = 2


def main() -> None:
    """Run what was named, then write what the results say into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small streams; results go to out/bench")
    options = parser.parse_args()
    names, results = options.names or NAMES, QUICK if options.quick else RESULTS
    if options.quick:
        together(names)
    else:
        for name in names:
            run(name, import_module(f"benchmarks.{name}").benchmark, quick=False)
    page = write(results)
    if "peers" in names:
        print(*compared(), sep="\n")
    print(f"All of it: {page}")


def compared() -> list[str]:
    """Return how the engine compares, as it was measured last: quick figures are too few and too disturbed for that."""
    found = read(RESULTS, "peers")
    if found is None:
        return []
    head = f"Beside what people use today, as `{found['command']}` measured at {found['commit'][:8]}:"
    return [head, *summary(found)]


def together(names: Sequence[str]) -> None:
    """Run quick benchmarks in processes, two at a time; those that fail say why, and end this one when all are done."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [name for name, ended in zip(names, pool.map(_quick, names), strict=True) if ended]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _quick(name: str) -> int:
    begun = time.monotonic()
    call = f"from benchmarks import command, {name} as one; command.run({name!r}, one.benchmark, quick=True)"
    done = subprocess.run(
        [sys.executable, "-c", call], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(f"{name:16}{time.monotonic() - begun:6.1f} s  {QUICK / name}.json", flush=True)
    if done.returncode:
        print(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}", flush=True)
    return done.returncode


if __name__ == "__main__":
    main()

"""Run benchmarks one after the other: ``python -m benchmarks [NAME ...] [--quick]``; all of them without a name."""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks.command import run
from benchmarks.report import write

#: Modules with a `benchmark(quick)`, in the order in which they are run; each is a command of its own as well.
NAMES = (
    "cards", "flights", "local", "keys", "snapshot", "follow", "models", "equality", "start",
    "kafka", "recovery", "peers", "peers_latency", "shuffle", "compression", "workers", "nexmark",
    "history",
)  # fmt: skip


def main() -> None:
    """Run what was named, then write what the results say into the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small streams; results go to out/bench")
    options = parser.parse_args()
    for name in options.names or NAMES:
        run(name, import_module(f"benchmarks.{name}").benchmark, quick=options.quick)
    if not options.quick:
        write()


if __name__ == "__main__":
    main()

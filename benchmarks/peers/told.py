"""What a peer is told on its command line, and what it says: where to read and write, and what to do by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from benchmarks.peers.by_hand import ByHand, Output
from benchmarks.peers.shuffle_by_hand import Shuffle


class Job(Protocol):
    """What is done with the records, by hand."""

    taken: int

    def take(self, value: bytes, received: int) -> list[Output]:
        """Take one record of the log with its time stamp, and return what is to be put out."""


JOBS: dict[str, Callable[[], Job]] = {
    "cards": ByHand,
    "shuffle": Shuffle,
    "shuffle_learning": partial(Shuffle, learns=True),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer is told.

    Parameters
    ----------
    servers
        Of Kafka.
    name
        Prefix of the topics that it writes, ``.predictions`` and ``.examples``; its group's name.
    topics
        What it reads.
    job
        One of `JOBS`.
    records
        How many there are; it ends after so many. 0: when it is told to.
    interval_s
        Seconds between commits.
    exactly_once
        Where the peer can do both.
    folder
        For its own files.
    """

    servers: str
    name: str
    topics: list[str]
    job: str
    records: int
    interval_s: float
    exactly_once: bool
    folder: str

    def out(self, kind: str) -> str:
        """Return the name of a topic that is written."""
        return f"{self.name}.{kind}"

    def begin(self) -> Job:
        """Return what does the work."""
        return JOBS[self.job]()


def asked(about: str | None) -> Asked:
    """Read the command line of a peer."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers")
    parser.add_argument("name")
    parser.add_argument("topics", nargs="+")
    parser.add_argument("--job", choices=JOBS, default="cards")
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--interval-s", type=float, default=0.1)
    parser.add_argument("--exactly-once", action="store_true")
    parser.add_argument("--folder", default=".")
    return Asked(**vars(parser.parse_args()))


def serves(told: Asked) -> None:
    """Say that everything is imported and made; from here on CPU time counts."""
    sys.stderr.write(f"{told.name} on {told.servers}\n")
    sys.stderr.flush()


def ended(turns: int = 0) -> None:
    """Say that all is done, in how many commits where that is known."""
    print(json.dumps({"stats": {"entry": turns}}), flush=True)

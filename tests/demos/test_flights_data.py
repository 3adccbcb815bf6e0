"""The compact year of flights says what the data set's own page says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest

from stream_ml.demos.flights_data import COMPACT, Flights, Raw, read, read_raw, write


@pytest.fixture(scope="module")
def raw() -> Raw:
    return read_raw()


@pytest.fixture(scope="module")
def flights() -> Flights:
    return read()


def test_file_is_compact() -> None:
    assert COMPACT.stat().st_size < 2_000_000


def test_counts_of_the_data_set(raw: Raw) -> None:
    assert len(raw.departure_ms) == 336_776
    assert int(np.isnan(raw.departure_delay).sum()) == 8_255
    assert sum(tail is None for tail in raw.tail) == 2_512
    assert len(set(raw.tail) - {None}) == 4_043
    assert len(set(raw.carrier)) == 16
    assert sorted(set(raw.origin)) == ["EWR", "JFK", "LGA"]
    assert len(set(raw.dest)) == 105
    arrived = raw.arrival_delay[~np.isnan(raw.arrival_delay)]
    assert round(float((arrived > 15).mean()), 3) == 0.237


def test_first_flight_is_that_of_the_data_set(raw: Raw) -> None:
    first = (raw.carrier[0], int(raw.flight[0]), raw.tail[0], raw.origin[0], raw.dest[0], int(raw.distance[0]))
    assert first == ("UA", 1545, "N14228", "EWR", "IAH", 1400)
    assert (raw.departure_delay[0], raw.flight_minutes[0], raw.arrival_delay[0]) == (2.0, 227.0, 11.0)
    assert datetime.fromtimestamp(int(raw.departure_ms[0]) / 1000, UTC) == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)


def test_events_are_in_order_of_schedule_and_arrivals_in_order_of_landing(flights: Flights) -> None:
    assert (np.diff(flights.at_ms) >= 0).all()
    assert (np.diff(flights.landed_ms) >= 0).all()
    assert len(set(flights.id)) == len(flights.id)


def test_label_is_known_after_departure_delay_and_flight(flights: Flights) -> None:
    rows, raw = flights.arrived, flights.raw
    minutes = raw.departure_delay[rows] + raw.flight_minutes[rows]
    assert (flights.landed_ms - flights.at_ms[rows] == minutes * 60_000).all()
    assert (flights.landed_ms > flights.at_ms[rows]).all()
    assert len(rows) == 336_776 - 9_430


def test_written_files_hold_every_column(flights: Flights, tmp_path: Path) -> None:
    files = write(tmp_path / "new" / "folder")
    assert list(files) == ["flights", "arrivals"]
    events = [orjson.loads(line) for line in files["flights"].read_bytes().splitlines()]
    labels = [orjson.loads(line) for line in files["arrivals"].read_bytes().splitlines()]
    assert (len(events), len(labels)) == (len(flights.id), len(flights.arrived))
    assert events[0] == {
        "id": "UA1545-EWR-20130101T1015", "carrier": "UA", "tail": "N14228", "origin": "EWR", "dest": "IAH",
        "distance": 1400, "at": 1_357_035_300_000,
    }  # fmt: skip
    assert [event["tail"] for event in events] == flights.raw.tail.tolist()
    assert [event["at"] for event in events] == flights.at_ms.tolist()
    row = int(flights.arrived[-1])
    assert labels[-1] == {
        "id": flights.id[row],
        "origin": flights.raw.origin[row],
        "delay": flights.delay[row],
        "landed": int(flights.landed_ms[-1]),
    }

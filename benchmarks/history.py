"""The features of the cards stream over history, from Parquet into an Arrow table, beside DuckDB and Polars.

All compute the same twelve features of every payment, eight of them windows (one of chargebacks, which are joined to
their payments). The engine does so in order of arrival, as it would live, late payments left out of windows; the others
sort, and count late ones too. Its windows are tiles, or exact with ``exact=True``; theirs are exact. On a shorter
stream in order, on which these are all one, the engine with exact windows is compared with both, value by value.

    python -m benchmarks history [--quick]
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cards_exact
from benchmarks.command import Found, check, main, scratch
from benchmarks.history_peers import with_duckdb, with_polars
from benchmarks.side_by_side import machine, measure, ratio
from stream_ml.demos.generate import CardsSpec, Labels, cards
from stream_ml.engines.replay import history

TILES, EXACT = "stream_ml history", "stream_ml history, exact windows"
LIMIT = 1_000_000
VALUES = 1e-9  # largest difference, relative to max(1, |value|): running sums against sums


def benchmark(quick: bool) -> Found:
    """Measure all programs in turn, and compare their values."""
    payments, rounds = (30_000, 1) if quick else (500_000, 5)
    every = os.cpu_count() or 1
    ours, theirs = {TILES: "tiles", EXACT: "exact"}, {"DuckDB": "duckdb", "Polars": "polars"}
    with scratch() as folder:
        write(folder, CardsSpec(payments=payments, labels=Labels.ALL))
        size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
        programs = {f"{name}, one core": (word, 1) for name, word in (ours | theirs).items()}
        programs |= {f"{name}, {every} cores": (word, every) for name, word in theirs.items()}
        found = measure(
            {
                name: ("-m", "benchmarks.history_run", word, str(folder), str(cores))
                for name, (word, cores) in programs.items()
            },
            rounds,
        )
    for name, one in found.items():
        check(holds=one["payments"] == payments, what=f"{name} gives {one['payments']} rows")
    first = f"{TILES}, one core"
    wall = found[first]["payments_per_second"]["median"]
    return {
        "workload": f"cards: {payments:,} payments and as many label records from Parquet ({size:,} bytes), into an "
        "Arrow table of 12 features, 8 of them windows",
        "rounds": rounds,
        "limit_events_per_second": LIMIT,
        "events_per_second": 2 * wall,
        "events_per_cpu_second": round(2e6 / found[first]["cpu_us_per_payment"]["median"]),
        "reached": bool(2 * wall >= LIMIT),
        "programs": found,
        "ratios": [ratio(found, first, name) for name in found if name not in {first, f"{EXACT}, one core"}],
        "same": same(4_000 if quick else 50_000),
        "versions": machine()["versions"] | {name: version(name) for name in ("pyarrow", "duckdb", "polars")},
    }


def write(folder: Path, spec: CardsSpec) -> None:
    """Write the cards stream as Parquet files, each in order of arrival."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    def named(letter: str, digits: int, numbers: Any) -> Any:
        return pa.array([f"{letter}{number:0{digits}d}" for number in numbers.tolist()])

    stream, moment = cards(spec), pa.timestamp("ms", tz="UTC")
    payments = {
        "payment": named("p", 8, stream.payment), "card": named("c", 5, stream.card),
        "terminal": named("t", 4, stream.terminal), "amount": stream.amount,
        "at": pa.array(stream.at, moment), "received": pa.array(stream.received, moment),
    }  # fmt: skip
    chargebacks = {
        "payment": named("p", 8, stream.payment[stream.of]), "card": named("c", 5, stream.card[stream.of]),
        "fraud": stream.fraud[stream.of], "received": pa.array(stream.told, moment),
    }  # fmt: skip
    pq.write_table(pa.table(payments), folder / "payments.parquet")
    pq.write_table(pa.table(chargebacks), folder / "chargebacks.parquet")


def same(payments: int) -> Found:
    """Compare the engine with exact windows to DuckDB and Polars, on a stream in order."""
    import polars as pl  # noqa: PLC0415 - an extra

    with scratch() as folder:
        days = 60  # so that every window both fills and empties
        spec = CardsSpec(
            payments=payments, cards=500, per_day=payments // days, labels=Labels.ALL, disorder=0.0, late=0.0
        )
        write(folder, spec)
        files = {topic: folder / f"{topic}.parquet" for topic in ("payments", "chargebacks")}
        ours = pl.DataFrame(history(cards_exact.pipeline, files).table)
        found: Found = {"payments": payments}
        for name, table in (("DuckDB", with_duckdb(folder, 1)), ("Polars", with_polars(folder))):
            both = ours.join(pl.DataFrame(table), on="payment", suffix="_theirs", validate="1:1", maintain_order="left")
            # payments of a card in one millisecond, or in order of arrival but not of time, are another question
            both = both.filter(
                ~pl.struct("card", "at").is_duplicated() & (pl.col("at") >= pl.col("at").cum_max().over("card"))
            )
            names = [column for column in table.column_names if column != "payment"]
            differ = {column: largest(both[column], both[f"{column}_theirs"]) for column in names}
            check(holds=max(differ.values()) <= VALUES, what=f"{name} differs: {differ}")
            found[name] = {"compared": len(both), "largest_difference": max(differ.values())}
    return found


def largest(ours: Any, theirs: Any) -> float:
    """Return the largest difference of two columns relative to max(1, |value|); infinite where only one has a value."""
    one, other = (np.array(column.to_list(), np.float64) for column in (ours, theirs))
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    there = ~np.isnan(one)
    return float((np.abs(one - other)[there] / np.maximum(1.0, np.abs(other[there]))).max(initial=0.0))


if __name__ == "__main__":
    main("history", benchmark, __doc__)

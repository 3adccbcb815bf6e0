"""The features of the cards stream over history, as one would write them in SQL for DuckDB and in Polars.

Windows are exact and by the payments' own time, whatever their order of arrival; a chargeback counts from the moment it
was told, if that is within seven days of its payment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
COUNTS = {"n_10m": 10 * MINUTE, "n_1h": HOUR, "n_1d": DAY, "n_7d": 7 * DAY}
MEANS = {"mean_1d": DAY, "mean_30d": 30 * DAY}
WEEK, FRAUDS = 7 * DAY, 28 * DAY

SQL = """
WITH payments AS (
    SELECT payment, card, amount, epoch_ms("at") AS t, epoch_ms(received) AS got FROM read_parquet($payments)
),
told AS (
    SELECT p.card, epoch_ms(c.received) AS t
    FROM read_parquet($chargebacks) c JOIN payments p USING (payment)
    WHERE c.fraud AND epoch_ms(c.received) - p.got <= {WEEK}
),
frauds AS (SELECT card, t, count(*) OVER (PARTITION BY card ORDER BY t ROWS UNBOUNDED PRECEDING) AS k FROM told),
windows AS (
    SELECT payment, card, t, got, amount, {aggregates},
        avg(amount) OVER (PARTITION BY card ORDER BY t RANGE BETWEEN {WEEK} - 1 PRECEDING AND 1 PRECEDING)
            AS mean_before,
        (t - lag(t) OVER (PARTITION BY card ORDER BY t)) / 1000.0 AS gap
    FROM payments
)
SELECT payment, ln(1 + amount) AS amount, ((windows.t // {HOUR}) % 24)::DOUBLE AS hour,
    (windows.t // {HOUR}) % 24 < 6 AS night,
    {names}, amount / mean_before AS ratio, coalesce(upto.k, 0) - coalesce(before.k, 0) AS frauds_28d, gap
FROM windows
ASOF LEFT JOIN frauds AS upto ON upto.card = windows.card AND upto.t < windows.got
ASOF LEFT JOIN frauds AS before ON before.card = windows.card AND before.t <= windows.got - {FRAUDS}
"""


def sql() -> str:
    """Return the query."""
    over = "OVER (PARTITION BY card ORDER BY t RANGE BETWEEN {} PRECEDING AND CURRENT ROW)"
    found = [f"count(*) {over.format(span - 1)} AS {name}" for name, span in COUNTS.items()]
    found += [f"avg(amount) {over.format(span - 1)} AS {name}" for name, span in MEANS.items()]
    names = ", ".join([*COUNTS, *MEANS])
    return SQL.format(aggregates=", ".join(found), names=names, WEEK=WEEK, FRAUDS=FRAUDS, HOUR=HOUR)


def with_duckdb(folder: Path, threads: int) -> Any:
    """Return the feature table by DuckDB, on so many threads."""
    import duckdb  # noqa: PLC0415 - measured apart

    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        files = {name: str(folder / f"{name}.parquet") for name in ("payments", "chargebacks")}
        return connection.sql(sql(), params=files).to_arrow_table()


def with_polars(folder: Path) -> Any:
    """Return the feature table by Polars; ``POLARS_MAX_THREADS`` says on how many threads."""
    import polars as pl  # noqa: PLC0415 - measured apart

    payments = pl.scan_parquet(folder / "payments.parquet").sort("at")
    told = pl.scan_parquet(folder / "chargebacks.parquet").filter("fraud")
    cards = payments.select("payment", "card", got="received")
    told = told.select("payment", told="received").join(cards, on="payment")
    told = told.filter(pl.col("told") - pl.col("got") <= pl.duration(days=7)).sort("told")
    frauds = told.select("card", "told", k=pl.int_range(1, pl.len() + 1).over("card"))
    one, amount = pl.col("one"), pl.col("amount")
    spans = {"n_10m": "10m", "n_1h": "1h", "n_1d": "1d", "n_7d": "7d"}
    means = {"mean_1d": "1d", "mean_30d": "30d"}
    windows = payments.with_columns(one=pl.lit(1)).with_columns(
        *[one.rolling_sum_by("at", span).over("card").alias(name) for name, span in spans.items()],
        *[amount.rolling_mean_by("at", span).over("card").alias(name) for name, span in means.items()],
        mean_before=amount.rolling_mean_by("at", "7d", closed="none").over("card"),
        gap=pl.col("at").diff().over("card").dt.total_milliseconds() / 1000.0,
    )
    windows = windows.with_columns(floor=pl.col("received") - pl.duration(days=28)).sort("received")
    joined = windows.join_asof(
        frauds, left_on="received", right_on="told", by="card", allow_exact_matches=False, check_sortedness=False
    ).join_asof(frauds, left_on="floor", right_on="told", by="card", suffix="_before", check_sortedness=False)
    hour = pl.col("at").dt.hour()
    found = joined.select(
        "payment", amount.log1p(), hour.cast(pl.Float64).alias("hour"), (hour < 6).alias("night"), *spans, *means,
        (amount / pl.col("mean_before")).alias("ratio"),
        (pl.col("k").fill_null(0) - pl.col("k_before").fill_null(0)).alias("frauds_28d"), "gap",
    )  # fmt: skip
    return found.collect().to_arrow()

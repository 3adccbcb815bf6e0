"""A second witness: the windows of a history told in SQL, by DuckDB, against the answers of the twin.

The SQL is written by hand from the meanings in the docs, not from the declarations. `ANSWERERS` names who is asked:
each is given a pipeline and a log and returns, for every accepted event, its place in the log and its features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stream_ml.language.loader import load
from stream_ml.language.pipeline import Pipeline
from tests.naive import Naive
from tests.scale import slow
from tests.streams import TICK, Logged, merged, seeded

HERE = Path(__file__).parent / "pipelines_law"
#: offset in the log -> features as served
Answers = dict[int, dict[str, Any]]


def twin(pipeline: Pipeline, log: Sequence[Logged]) -> Answers:
    naive = Naive(pipeline)
    for topic, received, value, offset in merged(log):
        if topic == TICK:
            naive.tick(received)
        else:
            naive.feed(topic, received, value, offset)
    return {int(row.place.rsplit("/", 1)[1]): row.features for row in naive.predictions}


ANSWERERS: list[Callable[[Pipeline, Sequence[Logged]], Answers]] = [twin]

#: name of the feature; aggregate; (kind of span, length or n, offset, tiles); with or without the event; key; condition
Spec = tuple[str, str, tuple[str, int, int, int], str, str, str]
TILES: list[Spec] = [
    ("n_10s", "count(*)", ("tiles", 10_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("n_5m", "count(*)", ("tiles", 300_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("total_1m", "coalesce(sum(e.amount), 0)", ("tiles", 60_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("mean_1m", "avg(e.amount)", ("tiles", 60_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("low_5m", "min(e.amount)", ("tiles", 300_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("high_1m", "max(e.amount)", ("tiles", 60_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("var_5m", "var_samp(e.amount)", ("tiles", 300_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("std_1m", "stddev_samp(e.amount)", ("tiles", 60_000, 0, 60), "<=", "e.card = r.card", "true"),
    ("n_before_1m", "count(*)", ("tiles", 60_000, 0, 60), "<", "e.card = r.card", "true"),
    ("mean_before_1m", "avg(e.amount)", ("tiles", 60_000, 0, 60), "<", "e.card = r.card", "true"),
    ("var_before_1m", "var_samp(e.amount)", ("tiles", 60_000, 0, 60), "<", "e.card = r.card", "true"),
    ("large_1m", "count(*)", ("tiles", 60_000, 0, 60), "<=", "e.shop = r.shop", "e.amount > 2"),
    (
        "spread_5m",
        "stddev_samp(e.amount)",
        ("tiles", 300_000, 0, 60),
        "<",
        "e.card = r.card and e.shop = r.shop",
        "e.amount <> 0",
    ),
    ("shifted_1m", "coalesce(sum(e.amount), 0)", ("tiles", 60_000, 60_000, 60), "<=", "e.card = r.card", "true"),
    ("shifted_before_30s", "var_samp(e.amount)", ("tiles", 30_000, 45_000, 60), "<", "e.card = r.card", "true"),
    ("few_1m", "avg(e.amount)", ("tiles", 60_000, 0, 7), "<=", "e.card = r.card", "true"),
    ("one_90s", "max(e.amount)", ("tiles", 90_000, 0, 1), "<=", "true", "true"),
    ("odd_7777ms", "stddev_samp(e.amount)", ("tiles", 7_777, 1_111, 13), "<=", "true", "true"),
]

SAME = "e.machine = r.machine"
EXACT: list[Spec] = [
    ("n_10s", "count(*)", ("exact", 10_000, 0, 0), "<=", SAME, "true"),
    ("total_5m", "coalesce(sum(e.heat), 0)", ("exact", 300_000, 0, 0), "<=", SAME, "true"),
    ("mean_1m", "avg(e.heat)", ("exact", 60_000, 0, 0), "<", SAME, "true"),
    ("low_1m", "min(e.heat)", ("exact", 60_000, 0, 0), "<=", "true", "true"),
    ("high_1m", "max(e.heat)", ("exact", 60_000, 0, 0), "<", "true", "true"),
    ("var_5m", "var_samp(e.heat)", ("exact", 300_000, 0, 0), "<=", "true", "true"),
    ("std_5m", "stddev_samp(e.heat)", ("exact", 300_000, 0, 0), "<", "true", "true"),
    ("shifted_1m", "coalesce(sum(e.heat), 0)", ("exact", 60_000, 30_000, 0), "<=", "true", "true"),
    ("hot_1m", "avg(e.heat)", ("exact", 60_000, 0, 0), "<=", SAME, "e.heat > 1"),
    ("count_last_last5", "count(*)", ("last", 5, 0, 0), "<=", SAME, "true"),
    ("sum_last_last2", "coalesce(sum(e.heat), 0)", ("last", 2, 0, 0), "<=", SAME, "e.heat is not null"),
    ("mean_last_last3", "avg(e.heat)", ("last", 3, 0, 0), "<", SAME, "e.heat is not null"),
    ("min_last_last4", "min(e.heat)", ("last", 4, 0, 0), "<=", "true", "e.heat is not null"),
    ("std_last_last3", "stddev_samp(e.heat)", ("last", 3, 0, 0), "<", SAME, "e.heat > 0"),
    ("count_ever_forever", "count(*)", ("forever", 0, 0, 0), "<=", SAME, "true"),
    ("mean_ever_forever", "avg(e.heat)", ("forever", 0, 0, 0), "<=", SAME, "true"),
    ("var_ever_forever", "var_samp(e.heat)", ("forever", 0, 0, 0), "<", SAME, "true"),
    ("std_ever_forever", "stddev_samp(e.heat)", ("forever", 0, 0, 0), "<=", "true", "e.heat <> 2.5"),
]


def inside(how: tuple[str, int, int, int], at: str = "e.t", read: str = "r.as_of") -> str:
    """Return the SQL condition that a time lies in the window of a reading."""
    kind, length, offset, tiles = how
    if kind in ("forever", "last"):
        return "true"
    if kind == "exact":
        return f"{at} > {read} - {length} - {offset} and {at} <= {read} - {offset}"
    s = math.ceil(length / tiles)
    o = (offset + s // 2) // s
    return f"floor({at} / {s}) between floor(({read} - {length}) / {s}) - {o} and floor({read} / {s}) - {o}"


def told(db: duckdb.DuckDBPyConnection, spec: Spec) -> dict[int, Any]:
    """Return, by offset, what SQL says of a feature over the table `events`; None is missing.

    A late event is read as of the newest time before it - lateness, and is in nobody's window.
    """
    _, aggregate, how, arrived, key, condition = spec
    rank = "row_number() over (partition by r.seq order by e.seq desc)"
    newest = f"qualify {rank} <= {how[1]}" if how[0] == "last" else ""
    known = "r.machine" if "machine" in key else "r.card" if "card" in key else "1"
    known = f"case when {known} is null {'or r.shop is null' if 'shop' in key else ''} then null else 1 end"
    rows = db.sql(f"""
        with inner_ as (
            select r.seq as reader, e.* from events r join events e
            on e.seq {arrived} r.seq and not e.late and {key} and ({condition}) and {inside(how)} {newest}
        )
        select r.seq, {known} is not null, (select {aggregate} from inner_ e where e.reader = r.seq) from events r
    """).fetchall()
    return {seq: value if readable else None for seq, readable, value in rows}


def as_table(
    db: duckdb.DuckDBPyConnection, log: Sequence[Logged], lateness: int, fields: dict[str, str], accepted: Answers
) -> None:
    """Make the table `events` of the accepted events in their order: fields, time, as_of, late."""
    columns = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    db.sql(f"create table raw (seq bigint, stamp varchar, {columns})")
    for topic, _, value, offset in merged(log):
        if topic != TICK and offset in accepted:
            marks = ", ".join("?" * (len(fields) + 2))
            row = [offset, value["at"], *(value.get(name) for name in fields)]
            db.execute(f"insert into raw values ({marks})", row)
    db.sql(f"""
        create table events as
        with dated as (select *, epoch_ms(stamp::timestamptz) as t from raw),
             known as (
                 select *, max(t) over (order by seq rows between unbounded preceding and 1 preceding) as newest
                 from dated
             )
        select *, coalesce(t < newest - {lateness}, false) as late,
               case when t < newest - {lateness} then newest - {lateness} else t end as as_of
        from known
    """)


@pytest.fixture
def db() -> Any:
    connection = duckdb.connect()
    connection.sql("set timezone = 'UTC'")
    yield connection
    connection.close()


CASES = [
    ("tiles", 20_000, {"card": "varchar", "shop": "varchar", "amount": "double"}, TILES),
    ("exact", 20_000, {"machine": "varchar", "heat": "double"}, EXACT),
]


@pytest.mark.parametrize("answerer", ANSWERERS)
@pytest.mark.parametrize("seed", [1, *slow(2, 3)])
@pytest.mark.parametrize(("name", "lateness", "fields", "specs"), CASES, ids=["tiles", "exact"])
def test_windows_over_history_are_what_sql_says(
    db: Any, name: str, lateness: int, fields: dict[str, str], specs: list[Any], seed: int, answerer: Any
) -> None:
    pipeline = load(HERE / f"{name}.py")
    log = seeded(pipeline, seed, 300, bad=False)
    answers = answerer(pipeline, log)
    as_table(db, log, lateness, fields, answers)
    assert 20 < len(db.sql("select * from events where not late").fetchall()) < len(answers), "some are late, not all"
    for spec in specs:
        said = told(db, spec)
        for seq, features in answers.items():
            agree(features.get(spec[0]), said[seq], f"{spec[0]} at offset {seq}")
        assert len({str(x) for x in said.values()}) > 3, f"{spec[0]} is told nothing apart"


def agree(found: Any, said: Any, where: str) -> None:
    if said is None or found is None or (isinstance(said, float) and not math.isfinite(said)):
        assert found is None, where
        assert said is None or not math.isfinite(said), where
    else:
        assert found == pytest.approx(said, rel=1e-9, abs=1e-6), where


OUTCOMES = """
    create table outcomes as
    with joined as (
        select e.seq, e.card, e.shop, e.amount, e.received,
               l.seq as told, l.fraud, greatest(e.received, l.received) as known, greatest(e.seq, l.seq) as joined,
               row_number() over (partition by e.seq order by l.seq) as nth
        from events e left join labels l on l.payment = e.payment
             and l.received <= e.received + 180000 and (l.seq > e.seq or e.received <= l.received + 180000)
    )
    select seq, card, shop, amount,
           case when told is not null then fraud else 0.0 end as fraud,
           case when told is null then received + 180000 else known end as known,
           case when told is null then null else joined end as joined
    from joined where nth = 1
"""


def outcomes_before() -> str:
    """Return the SQL condition that an outcome was known when an event was answered."""
    return "case when o.joined is null then o.known < r.received else o.joined < r.seq end"


@pytest.mark.parametrize("answerer", ANSWERERS)
@pytest.mark.parametrize("seed", [4, *slow(5, 6)])
def test_label_fed_windows_are_what_sql_says(db: Any, seed: int, answerer: Any) -> None:
    pipeline = load(HERE / "silent.py")
    log = once_told([entry for entry in seeded(pipeline, seed, 400, bad=False) if entry[0] != TICK])
    answers = answerer(pipeline, log)
    db.sql(
        "create table events (seq bigint, payment varchar, card varchar, shop varchar, amount double, received bigint);"
        "create table labels (seq bigint, payment varchar, fraud double, received bigint)"
    )
    for topic, received, v, seq in merged(log):
        if topic == "chargebacks":
            fraud = None if v["fraud"] is None else float(v["fraud"])
            db.execute("insert into labels values (?, ?, ?, ?)", [seq, v["payment"], fraud, received])
        elif seq in answers:
            row = [seq, v["payment"], v["card"], v.get("shop"), v.get("amount"), received]
            db.execute("insert into events values (?, ?, ?, ?, ?, ?)", row)
    db.sql(OUTCOMES)
    cases = [
        ("risk_2m", "avg(o.fraud)", "o.shop = r.shop", "true", ("tiles", 120_000, 0, 60), "r.shop"),
        ("risk_10m", "avg(o.fraud)", "o.shop = r.shop", "true", ("tiles", 600_000, 0, 60), "r.shop"),
        ("frauds_5m", "count(*)", "o.card = r.card", "o.fraud = 1", ("tiles", 300_000, 0, 60), "r.card"),
        ("worst_1m", "max(o.amount)", "true", "o.fraud = 0", ("tiles", 60_000, 60_000, 60), "1"),
        ("known_5m", "count(*)", "o.card = r.card", "true", ("tiles", 300_000, 0, 60), "r.card"),
    ]
    for name, aggregate, key, condition, how, known in cases:
        where = f"{outcomes_before()} and {key} and ({condition}) and {inside(how, 'o.known', 'r.received')}"
        said = db.sql(
            f"select r.seq, {known} is null, (select {aggregate} from outcomes o where {where}) from events r"
        ).fetchall()
        for seq, unreadable, value in said:
            agree(answers[seq].get(name), None if unreadable else value, f"{name} at offset {seq}")
        assert len({value for _, _, value in said}) > 1, f"{name} is told nothing apart"


def once_told(log: Sequence[Logged]) -> list[Logged]:
    """Keep of each payment's labels the first before it and all after it, and of each payment the first record."""
    kept: list[Logged] = []
    early: set[str] = set()
    seen: set[str] = set()
    for topic, stamp, value in log:
        name = value["payment"]
        if topic == "chargebacks":
            if name in seen or name not in early:
                kept.append((topic, stamp, value))
            early.add(name)
        elif name not in seen:
            seen.add(name)
            kept.append((topic, stamp, value))
    return kept

"""Nexmark's bids are spread as its generator spreads them, and each query's features are what its SQL says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from benchmarks.nexmark import page
from benchmarks.nexmark.bids import MIDNIGHT_MS, Bids, make_bids
from benchmarks.nexmark.reference import GAP_MS, QUERIES
from benchmarks.nexmark.runner import compared, stream_of
from benchmarks.report import spread, table
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options

COUNT, EVENTS_PER_SECOND = 3_000, 40


@pytest.fixture(scope="module")
def bids() -> Bids:
    return make_bids(COUNT, EVENTS_PER_SECOND)


def answered(bids: Bids, name: str, folder: Path) -> list[bytes]:
    stream = stream_of(bids, name, QUERIES[name], folder)
    options = Options(collect=True)
    return replay(stream.source, stream.files, received={"bids": "date_time"}, options=options).outputs["predictions"]


def test_bids_are_spread_as_nexmark_spreads_them() -> None:
    bids = make_bids(46_000, 1_000)
    last = np.arange(46_000) // 46
    hot_auction, hot_bidder = (last * 3 + 2) // 100 * 100 + 1_000, last // 100 * 100 + 1_001
    assert 0.5 < (bids.auction == hot_auction).mean() < 0.53
    assert 0.75 < (bids.bidder == hot_bidder).mean() < 0.77
    assert set(np.floor(np.log10(bids.price)).astype(int).tolist()) - {8} == {2, 3, 4, 5, 6, 7}
    assert int(bids.auction.max()) <= 3_000 + 10 + 1_000
    assert (np.diff(bids.at) >= 0).all()
    assert 48_000 < bids.at[-1] - bids.at[0] < 52_000
    assert bids.records == make_bids(46_000, 1_000).records


def test_the_bids_try_every_edge(bids: Bids) -> None:
    assert bids.at[0] < MIDNIGHT_MS < bids.at[-1]
    right = QUERIES["q11"].right(bids)
    assert ((right[:, 1] > GAP_MS / 1e3) & (right[:, 0] > 1)).sum() > 10  # sessions end and begin anew
    assert (bids.at % 10_000 == 0).any()
    assert len(np.unique(QUERIES["q5"].right(bids))) > 20


@pytest.mark.parametrize("name", list(QUERIES))
def test_each_query_answers_as_plain_python_does(name: str, bids: Bids, tmp_path: Path) -> None:
    query = QUERIES[name]
    values = answered(bids, name, tmp_path)
    found = compared(values, query.right(bids), getattr(bids, query.key), query)
    assert found == {"answers": COUNT, "largest_difference": 0.0}


def other_value(rows: list[dict[str, Any]]) -> None:
    rows[1_700]["features"]["bids_10s"] += 1


def lost(rows: list[dict[str, Any]]) -> None:
    del rows[1_700]


def twice(rows: list[dict[str, Any]]) -> None:
    rows.insert(1_700, rows[1_700])


@pytest.mark.parametrize(("spoil", "what"), [(other_value, "differ"), (lost, "answers"), (twice, "answers")])
def test_a_wrong_answer_ends_the_run(
    spoil: Callable[[list[dict[str, Any]]], None], what: str, bids: Bids, tmp_path: Path
) -> None:
    query = QUERIES["q12"]
    rows = [orjson.loads(value) for value in answered(bids, "q12", tmp_path)]
    spoil(rows)
    with pytest.raises(RuntimeError, match=what):
        compared([orjson.dumps(row) for row in rows], query.right(bids), getattr(bids, query.key), query)


def test_the_section_tells_what_differs() -> None:
    figure = {"median": 10.0, "range": [8.0, 12.0]}
    measured = {key: figure for key in ("events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event")}
    queries = {
        name: {"title": one.title, "flink": one.flink, "differs": one.differs, **measured}
        | {"answers": {"largest_difference": 0.0}}
        for name, one in QUERIES.items()
    }
    told = "\n".join(page.section({"rounds": 3, "queries": queries}, table, spread))
    assert "| q17, auction statistics | 10.0 (8.0 to 12.0) |" in told
    assert "| 100.0 | 116.8 |" in told
    assert "There is no session window yet" in told

"""The four queries in plain Python, as their SQL says, for each bid: what has come of its group up to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.nexmark.bids import Bids

F8 = NDArray[np.float64]
Row = tuple[float, ...]

PANE_MS, WINDOW_MS, GAP_MS = 2_000, 10_000, 10_000
LOW, HIGH = 10_000, 1_000_000
MISSING = float("nan")


def _columns(bids: Bids) -> Iterator[tuple[int, int, int, int]]:
    columns = (bids.auction, bids.bidder, bids.price, bids.at)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def hot_items(bids: Bids) -> Iterator[Row]:
    """Count an auction's bids in HOP(2 s, 10 s), in the window that ends next."""
    panes: Counter[tuple[int, int]] = Counter()
    for auction, _, _, at in _columns(bids):
        pane = at // PANE_MS
        panes[auction, pane] += 1
        yield (sum(panes[auction, pane - back] for back in range(WINDOW_MS // PANE_MS)),)


def sessions(bids: Bids) -> Iterator[Row]:
    """Count a bidder's bids in all, the seconds since the last one, and the bids in SESSION(10 s)."""
    everything: Counter[int] = Counter()
    session: Counter[int] = Counter()
    last: dict[int, int] = {}
    for _, bidder, _, at in _columns(bids):
        gap = at - last[bidder] if bidder in last else None
        if gap is None or gap > GAP_MS:
            session[bidder] = 0
        last[bidder] = at
        session[bidder] += 1
        everything[bidder] += 1
        yield everything[bidder], MISSING if gap is None else gap / 1e3, session[bidder]


def by_user(bids: Bids) -> Iterator[Row]:
    """Count a bidder's bids in TUMBLE(10 s)."""
    windows: Counter[tuple[int, int]] = Counter()
    for _, bidder, _, at in _columns(bids):
        windows[bidder, at // WINDOW_MS] += 1
        yield (windows[bidder, at // WINDOW_MS],)


def statistics(bids: Bids) -> Iterator[Row]:
    """Count an auction's bids of the day in bands of prices; the least price, the greatest, the mean and the sum."""
    prices: dict[tuple[int, str], tuple[int, int, int, int, int, int]] = {}
    for auction, _, price, at in _columns(bids):
        day = datetime.fromtimestamp(at / 1e3, UTC).date().isoformat()
        low, middle, high, least, most, total = prices.get((auction, day), (0, 0, 0, price, price, 0))
        low, high = low + (price < LOW), high + (price >= HIGH)
        middle += LOW <= price < HIGH
        least, most, total = min(least, price), max(most, price), total + price
        prices[auction, day] = low, middle, high, least, most, total
        n = low + middle + high
        yield n, low, middle, high, least, most, total / n, total


def as_served(features: F8, keys: NDArray[np.int64]) -> F8:
    """Return features as they are."""
    return features


def with_sessions(features: F8, keys: NDArray[np.int64]) -> F8:
    """Add what a reader has of running counts and gaps: the bids in the session up to each, by subtraction.

    Parameters
    ----------
    features
        Count and gap in seconds of each bid [n, 2].
    keys
        Its bidder [n].
    """
    before: dict[int, float] = {}
    found = []
    for bidder, (count, gap) in zip(keys.tolist(), features.tolist(), strict=True):
        if not gap <= GAP_MS / 1e3:  # a missing one too
            before[bidder] = count - 1
        found.append(count - before[bidder])
    return np.column_stack([features, found])


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Parameters
    ----------
    title
        What it is called.
    key
        The column of the bids whose state it keeps.
    served
        Names of the features.
    expected
        Yields the right answers, bid by bid.
    flink
        Thousand events a second of a core that Flink's authors publish.
    differs
        From the query, and what we run instead.
    read
        What a reader makes of the features and the keys.
    """

    title: str
    key: str
    served: tuple[str, ...]
    expected: Callable[[Bids], Iterator[Row]]
    flink: float
    differs: str
    read: Callable[[F8, NDArray[np.int64]], F8] = as_served

    def right(self, bids: Bids) -> F8:
        """Return the right answers [n, features]."""
        return np.array(list(self.expected(bids)), np.float64)


def source(name: str) -> Path:
    """Return a query's pipeline."""
    return Path(__file__).parent / f"{name}.py"


STATISTICS = ("total", "rank1", "rank2", "rank3", "least", "most", "mean", "sum")
QUERIES = {
    "q5": Query(
        "hot items", "auction", ("bids_8s",), hot_items, 22.14,
        "Each bid tells its auction's count in HOP(2 s, 10 s) so far. Which auction has the most of all is no feature "
        "of a key, and is not asked: Flink's figure holds that maximum and its join.",
    ),
    "q11": Query(
        "user sessions", "bidder", ("bids_forever", "gap"), sessions, 39.7,
        "There is no session window yet. Each bid tells its bidder's running count and the seconds since the last bid; "
        "where these are above 10 a session begins, and a session's count is the difference of two running counts, "
        "which a reader takes (checked here). Running counts are kept for good, sessions end.",
        with_sessions,
    ),
    "q12": Query(
        "processing-time windows", "bidder", ("bids_10s",), by_user, 75.67,
        "Windows of 10 s one after the other, by the bids' own times: there is no processing time, by which a run of "
        "the same records would give other answers.",
    ),
    "q17": Query(
        "auction statistics", "auction", tuple(f"{name}_1d" for name in STATISTICS), statistics, 116.8,
        "As it is: a day's count, three bands of prices, minimum, maximum, mean and sum.",
    ),
}  # fmt: skip

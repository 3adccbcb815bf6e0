"""Nexmark q17, auction statistics: how many bids an auction had on a day, in three bands of prices, and the prices.

The day of the week is part of the key, so what the last 24 hours hold under it is the day up to now, in UTC.
"""

from benchmarks.nexmark.bid import BidFields
from stream_ml import Event, Features, Pipeline, fn


class Bid(BidFields, Event, topic="bids", key="auction", time="date_time", lateness="4s"):
    """A bid, of its auction."""


_by = (Bid.auction, fn.weekday(Bid.date_time))
_middle = (Bid.price >= 10_000) & (Bid.price < 1_000_000)


class Statistics(Features, of=Bid):
    """An auction's day up to now."""

    total = fn.count(Bid).over("1d", by=_by, tiles=1)
    rank1 = fn.count(Bid).where(Bid.price < 10_000).over("1d", by=_by, tiles=1)
    rank2 = fn.count(Bid).where(_middle).over("1d", by=_by, tiles=1)
    rank3 = fn.count(Bid).where(Bid.price >= 1_000_000).over("1d", by=_by, tiles=1)
    least = fn.min(Bid.price).over("1d", by=_by, tiles=1)
    most = fn.max(Bid.price).over("1d", by=_by, tiles=1)
    mean = fn.mean(Bid.price).over("1d", by=_by, tiles=1)
    sum = fn.sum(Bid.price).over("1d", by=_by, tiles=1)


pipeline = Pipeline("nexmark_q17", features=Statistics, model=None)

"""Nexmark q5, hot items: bids of each auction in windows of 10 s that begin every 2 s.

Flink's window that ends next holds the five panes of 2 s up to now. Here a window reaches back to a tile's edge, so
8 s in tiles of 2 s are these five panes: each bid tells how many its auction has in the window that ends next.
"""

from benchmarks.nexmark.bid import BidFields
from stream_ml import Event, Features, Pipeline, fn


class Bid(BidFields, Event, topic="bids", key="auction", time="date_time", lateness="4s"):
    """A bid, of its auction."""


class HotItems(Features, of=Bid):
    """How hot an auction is."""

    bids = fn.count(Bid).over("8s", by=Bid.auction, tiles=4)


pipeline = Pipeline("nexmark_q5", features=HotItems, model=None)

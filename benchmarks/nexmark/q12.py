"""Nexmark q12: bids of each user in windows of 10 s, one after the other.

The window's number is part of the key, so what the last 10 s hold under it is the window up to now. Times are those of
the bids: Nexmark takes the moment of processing, by which a second run would give other answers.
"""

from datetime import UTC, datetime

from benchmarks.nexmark.bid import BidFields
from stream_ml import Event, Features, Pipeline, fn

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


class Bid(BidFields, Event, topic="bids", key="bidder", time="date_time", lateness="4s"):
    """A bid, of its bidder."""


#: Whole tens of seconds: the nearest whole number to the middle of the window, whose edges no millisecond halves.
_window = fn.round((fn.seconds(Bid.date_time - EPOCH) - 4.9995) / 10)


class ByUser(Features, of=Bid):
    """How many bids a user has made in the present window."""

    bids = fn.count(Bid).over("10s", by=(Bid.bidder, _window), tiles=1)


pipeline = Pipeline("nexmark_q12", features=ByUser, model=None)

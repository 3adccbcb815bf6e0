"""Nexmark q11, user sessions: how many bids a user made until 10 s went by without one.

There is no session window yet. A bid tells how long ago the user's last one was, and how many there have been in all:
a bid begins a session where the gap is missing or above 10 s, and the difference of two such counts is a session's.
"""

from benchmarks.nexmark.bid import BidFields
from stream_ml import Event, Features, Pipeline, fn


class Bid(BidFields, Event, topic="bids", key="bidder", time="date_time", lateness="4s"):
    """A bid, of its bidder."""


class Sessions(Features, of=Bid):
    """What sessions are told apart by."""

    bids = fn.count(Bid).over("forever", by=Bid.bidder)
    gap = fn.since_last(Bid).over(by=Bid.bidder)


pipeline = Pipeline("nexmark_q11", features=Sessions, model=None)

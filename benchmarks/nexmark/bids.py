"""Bids as Nexmark's generator makes them: the same shares, hot auctions and bidders, prices, channels and sizes.

Of 50 events one is a person, three are auctions and 46 are bids; only bids are kept, at the times of their events. Half
of the bids are for the hot auction, the first of the last hundred, the others for one of the last hundred or of ten
that are to come; three quarters come from the hot bidder, the second of the last hundred people, the others from one of
the last thousand people or ten to come. A price is 100 times ten to a power spread evenly from 0 to 6. Half of the bids
came through one of four channels, the others through one of ten thousand, each with its URL; what fills a bid up is 54
to 81 letters long. (github.com/nexmark/nexmark, the generator of the Flink suite, with its defaults; random numbers are
numpy's.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

I8 = NDArray[np.int64]

EPOCH, PEOPLE, AUCTIONS = 50, 1, 3  # events; of them people, and auctions
HOT, AHEAD, IN_FLIGHT, ACTIVE = 100, 10, 100, 1_000
FIRST = 1_000  # auction and person
CHANNELS, KNOWN = 10_000, ("Google", "Facebook", "Baidu", "Apple")
SHORTEST, LONGEST = 54, 82
#: New Year of 2026, UTC: it falls into the middle of the bids, so that q17 sees two days.
MIDNIGHT_MS = 1_767_225_600_000


@dataclass(frozen=True, slots=True)
class Bids:
    """Columns [n]: auction, bidder, price in cents, epoch ms; and each bid's record."""

    auction: I8
    bidder: I8
    price: I8
    at: I8
    records: list[bytes]


def make_bids(count: int, events_per_second: int, seed: int = 7) -> Bids:
    """Make so many bids, of a generator that makes so many events of all kinds a second.

    Examples
    --------
    >>> made = make_bids(460, 1_000)
    >>> round(float((made.auction == 1_000).mean()), 1), made.records[0][:29]
    (0.5, b'{"auction":1000,"bidder":1001')
    """
    draw = np.random.default_rng(seed)
    bids = EPOCH - PEOPLE - AUCTIONS
    number = np.arange(count)
    epoch = number // bids
    event = epoch * EPOCH + PEOPLE + AUCTIONS + number % bids

    last = epoch * AUCTIONS + AUCTIONS - 1
    first = np.maximum(last - IN_FLIGHT, 0)
    auction = np.where(draw.integers(2, size=count) > 0, last // HOT * HOT, draw.integers(first, last + 1 + AHEAD))

    people = epoch * PEOPLE + PEOPLE
    active = np.minimum(people, ACTIVE)
    bidder = people - active + draw.integers(0, active + AHEAD)
    bidder = np.where(draw.integers(4, size=count) > 0, (people - 1) // HOT * HOT + 1, bidder)

    price = np.round(10.0 ** (draw.random(count) * 6.0) * 100.0).astype(np.int64)
    lasts_ms = int(event[-1]) * 1_000 // events_per_second
    begin = MIDNIGHT_MS - lasts_ms // 20_000 * 10_000
    at = begin + (event - EPOCH // 2) * 1_000 // events_per_second  # so that some come where windows of 10 s begin
    auction, bidder = auction + FIRST, bidder + FIRST
    return Bids(auction, bidder, price, at, _records(draw, auction, bidder, price, at))


def _records(draw: np.random.Generator, auction: I8, bidder: I8, price: I8, at: I8) -> list[bytes]:
    count, letters = len(at), draw.integers(97, 123, 1 << 16).astype(np.uint8).tobytes().decode()
    channels = _channels(draw, letters)
    known = draw.integers(2, size=count) > 0
    channel = np.where(known, draw.integers(len(KNOWN), size=count), len(KNOWN) + draw.integers(CHANNELS, size=count))
    begin = draw.integers(len(letters) - LONGEST, size=count)
    end = begin + draw.integers(SHORTEST, LONGEST, count)
    columns = (auction, bidder, price, at, channel, begin, end)
    return [
        orjson.dumps(
            {"auction": a, "bidder": b, "price": p, "channel": channels[c][0], "url": channels[c][1], "date_time": t,
             "extra": letters[i:j]}
        )
        for a, b, p, t, c, i, j in zip(*(column.tolist() for column in columns), strict=True)
    ]  # fmt: skip


def _channels(draw: np.random.Generator, letters: str) -> list[tuple[str, str]]:
    """Return the name and the URL of each channel."""
    found = []
    places = draw.integers(len(letters) - 15, size=len(KNOWN) + CHANNELS).tolist()
    named = draw.integers(10, size=CHANNELS) > 0
    for number, at in enumerate(places):
        words = "/".join(letters[at + i : at + i + 5] for i in (0, 5, 10))
        url, own = f"https://www.nexmark.com/{words}/item.htm?query=1", number - len(KNOWN)
        if own < 0:
            found.append((KNOWN[number], url))
        else:
            found.append((f"channel-{own}", f"{url}&channel_id={own * 214_013}" if named[own] else url))
    return found

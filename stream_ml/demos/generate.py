"""A seeded stream of card payments with frauds, and the chargebacks that come hours to days later.

Frauds can be learned from what ``cards.py`` and ``fraud.py`` compute, not from a single column: a stolen card is used
in a burst within the hour, at night more often than by day, for amounts unlike its owner's; some frauds are a single
quiet payment that nothing gives away. From :attr:`CardsSpec.drift_at` on, thieves are slower and more modest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
#: Monday, 2024-01-01, UTC.
START_MS = 1_704_067_200_000
COUNTRIES = ("FR", "DE", "ES", "IT", "BE", "NL", "PT", "US")
#: Share of a day's payments in each hour, UTC.
BY_HOUR = np.array([1, 1, 1, 1, 1, 2, 4, 7, 10, 11, 11, 12, 13, 11, 10, 10, 11, 12, 13, 11, 8, 6, 4, 2]) / 173.0
#: Share of the bursts that begin between midnight and six.
NIGHTLY = 0.5
#: Share of the frauds that are told after the wait.
TOO_LATE = 0.02
#: The wait of the cards pipeline; a chargeback later than that is told in vain.
WAIT_MS = 7 * DAY_MS


class Labels(Enum):
    """Which payments get a label record: every one, or frauds only and silence for the rest."""

    ALL = "all"
    FRAUDS = "frauds"


@dataclass(frozen=True, slots=True)
class CardsSpec:
    """What to generate; equal specs give equal streams.

    Parameters
    ----------
    payments
        How many payments.
    seed
        Of numpy's generator.
    cards, terminals
        How many of each.
    labels
        Which payments get a label record.
    fraud
        Share of payments that are frauds.
    disorder, late, duplicates
        Share of payments that arrive up to 25 s after later ones (within the pipelines' lateness of 30 s), one to ten
        minutes after, and twice with the same id.
    drift_at
        Where in the stream, from 0 to 1, thieves change their ways.
    per_day
        Payments a day over all cards.
    """

    payments: int
    seed: int = 7
    cards: int = 5_000
    terminals: int = 1_000
    labels: Labels = Labels.FRAUDS
    fraud: float = 0.02
    disorder: float = 0.02
    late: float = 0.001
    duplicates: float = 0.0
    drift_at: float = 0.6
    per_day: int = 20_000


@dataclass(frozen=True, slots=True)
class Cards:
    """The generated columns: payments [n] and chargebacks [m], each by received time; times in epoch milliseconds UTC.

    `payment` numbers the ids (equal numbers are duplicates); `of` [m] is each chargeback's row among the payments.
    """

    payment: Ints
    card: Ints
    terminal: Ints
    country: Ints
    amount: Floats
    at: Ints
    received: Ints
    fraud: Flags
    of: Ints
    told: Ints


def cards(spec: CardsSpec) -> Cards:
    """Generate the columns of a stream of payments and chargebacks.

    Examples
    --------
    >>> stream = cards(CardsSpec(payments=10_000, seed=1))
    >>> len(stream.payment), bool((np.diff(stream.received) >= 0).all())
    (10000, True)
    >>> 0.01 < float(stream.fraud.mean()) < 0.03
    True
    """
    random = np.random.default_rng(spec.seed)
    frauds = _frauds(spec, random)
    honest = _honest(spec, random, spec.payments - len(frauds[0]))
    made, card, fraud, fast = (np.concatenate(pair) for pair in zip(honest, frauds, strict=True))
    order = np.argsort(made, kind="stable")
    made, card, fraud, fast = made[order], card[order], fraud[order], fast[order]

    usual = random.normal(3.2, 0.6, spec.cards)  # the logarithm of what a card's owner usually pays
    modest = np.where(_after(spec, made), 0.5, 1.2)
    amount: Floats = np.exp(usual[card] + random.normal(0.0, 0.5, len(card)) + np.where(fast, modest, 0.0))
    home = random.choice(len(COUNTRIES), spec.cards, p=_falling(len(COUNTRIES)))
    abroad = random.random(len(card)) < np.where(fast, 0.4, 0.02)
    terminal = random.choice(spec.terminals, len(card), p=_falling(spec.terminals))

    received = made + _transit(spec, random, len(made))
    rows = np.arange(len(made))
    again = np.flatnonzero(random.random(len(made)) < spec.duplicates)
    rows = np.concatenate([rows, again])
    received = np.concatenate([received, received[again] + random.integers(1, 30 * SECOND_MS, len(again))])
    order = np.argsort(received, kind="stable")
    rows, received = rows[order], received[order]
    stream = Cards(
        payment=rows,
        card=card[rows],
        terminal=terminal[rows],
        country=np.where(abroad, random.integers(0, len(COUNTRIES), len(card)), home[card])[rows],
        amount=np.round(amount, 2)[rows].astype(np.float64),
        at=made[rows],
        received=received,
        fraud=fraud[rows],
        of=np.zeros(0, np.int64),
        told=np.zeros(0, np.int64),
    )
    return _told(spec, random, stream)


def _falling(n: int) -> Floats:
    """Return a distribution over `n` choices that falls with the square root of the rank."""
    weights = 1.0 / np.sqrt(np.arange(1, n + 1))
    return np.asarray(weights / weights.sum())


def _span(spec: CardsSpec) -> int:
    return max(DAY_MS, spec.payments * DAY_MS // spec.per_day)


def _after(spec: CardsSpec, made: Ints) -> Flags:
    return np.asarray(made >= START_MS + int(spec.drift_at * _span(spec)))


def _honest(spec: CardsSpec, random: np.random.Generator, n: int) -> tuple[Ints, Ints, Flags, Flags]:
    """Return time, card, fraud and speed of honest payments: rather by day, some cards more than others."""
    edges = np.concatenate([[0.0], np.cumsum(BY_HOUR)])
    spread = np.sort(random.random(n)) * _span(spec)
    day = np.floor(spread / DAY_MS)
    within = np.interp(random.random(n), edges, np.arange(25) * HOUR_MS)
    made = START_MS + (day * DAY_MS + within).astype(np.int64)
    active = random.lognormal(0.0, 0.7, spec.cards)
    card = random.choice(spec.cards, n, p=active / active.sum())
    return made, card, np.zeros(n, np.bool_), np.zeros(n, np.bool_)


def _frauds(spec: CardsSpec, random: np.random.Generator) -> tuple[Ints, Ints, Flags, Flags]:
    """Return time, card, fraud and speed of fraudulent payments: bursts, and quiet single ones."""
    n = round(spec.payments * spec.fraud)
    quiet = n // 8
    sizes = 3 + random.poisson(3.0, n)
    burst = np.repeat(np.arange(n), sizes)[: n - quiet]
    bursts = int(burst[-1]) + 1 if len(burst) else 0
    begin = START_MS + (random.random(bursts) * _span(spec)).astype(np.int64)
    night = random.random(bursts) < NIGHTLY
    begin = np.where(night, begin - begin % DAY_MS + random.integers(0, 6 * HOUR_MS, bursts), begin)
    gaps = random.exponential(np.where(_after(spec, begin[burst]), 12.0, 4.0) * MINUTE_MS).astype(np.int64)
    since = np.cumsum(gaps)
    first = np.searchsorted(burst, np.arange(bursts))
    fast_made = begin[burst] + since - since[first][burst]
    quiet_made = START_MS + (random.random(quiet) * _span(spec)).astype(np.int64)
    thief = random.integers(0, spec.cards, bursts)
    card = np.concatenate([thief[burst], random.integers(0, spec.cards, quiet)])
    fast = np.concatenate([np.ones(n - quiet, np.bool_), np.zeros(quiet, np.bool_)])
    return np.concatenate([fast_made, quiet_made]), card, np.ones(n, np.bool_), fast


def _transit(spec: CardsSpec, random: np.random.Generator, n: int) -> Ints:
    """Return how long each payment was on its way, in milliseconds."""
    lot = random.random(n)
    late = random.integers(MINUTE_MS, 10 * MINUTE_MS, n)
    slow = random.integers(SECOND_MS, 25 * SECOND_MS, n)
    return np.where(lot < spec.late, late, np.where(lot < spec.late + spec.disorder, slow, random.integers(5, 200, n)))


def _told(spec: CardsSpec, random: np.random.Generator, stream: Cards) -> Cards:
    """Return the stream with its chargebacks: hours to days later, one fraud in fifty after the wait."""
    n = len(stream.payment)
    _, first = np.unique(stream.payment, return_index=True)
    asked = np.zeros(n, np.bool_)
    asked[first] = True
    delay = 2 * HOUR_MS + random.exponential(1.5 * DAY_MS, n).astype(np.int64)
    delay = np.minimum(delay, WAIT_MS - HOUR_MS)
    delay = np.where(random.random(n) < TOO_LATE, WAIT_MS + DAY_MS, delay)
    cleared = random.integers(HOUR_MS, 3 * DAY_MS, n)
    of = np.flatnonzero(asked if spec.labels is Labels.ALL else asked & stream.fraud)
    told = stream.received[of] + np.where(stream.fraud, delay, cleared)[of]
    order = np.argsort(told, kind="stable")
    columns = {name: getattr(stream, name) for name in Cards.__slots__}
    return Cards(**{**columns, "of": of[order], "told": told[order]})


def write_cards(folder: Path, spec: CardsSpec) -> dict[str, Path]:
    """Write ``payments.ndjson`` and ``chargebacks.ndjson`` into `folder`, each in order of its field ``received``.

    Parameters
    ----------
    folder
        Made if it is not there.
    spec
        What to generate.

    Returns
    -------
    dict of str to Path
        The file of each topic.

    Raises
    ------
    OSError
        The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = cards(spec)
    files = {"payments": folder / "payments.ndjson", "chargebacks": folder / "chargebacks.ndjson"}
    for topic, lines in (("payments", _payments(stream)), ("chargebacks", _chargebacks(stream))):
        with files[topic].open("w", encoding="ascii", newline="\n") as file:
            file.writelines(lines)
    return files


def _payments(stream: Cards) -> Iterator[str]:
    columns = (stream.payment, stream.card, stream.terminal, stream.country, stream.amount, stream.at, stream.received)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for payment, card, terminal, country, amount, at, received in rows:
        yield (
            f'{{"payment":"p{payment:08d}","card":"c{card:05d}","terminal":"t{terminal:04d}",'
            f'"country":"{COUNTRIES[country]}","amount":{amount},"at":{at},"received":{received}}}\n'
        )


def _chargebacks(stream: Cards) -> Iterator[str]:
    columns = (stream.payment[stream.of], stream.card[stream.of], stream.fraud[stream.of], stream.told)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for payment, card, fraud, told in rows:
        yield (
            f'{{"payment":"p{payment:08d}","card":"c{card:05d}","fraud":{"true" if fraud else "false"},'
            f'"received":{told}}}\n'
        )

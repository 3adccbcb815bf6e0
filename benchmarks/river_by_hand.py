"""The cards pipeline by hand: plain Python and river, as one would write it without an engine.

Reads the NDJSON files that ``benchmarks.make_cards`` wrote, merged by ``received``; computes the twelve features of
``stream_ml/demos/cards.py`` with running windows a card, predicts, keeps the features until their label or a week of
silence, learns, and measures log loss, ROC AUC and drift of the error. One core, no guarantee of any kind: nothing is
journaled, nothing can be recovered, late payments are not told from others. Windows are exact where the engine's are
tiles, so figures of quality agree to a few thousandths, not to the bit.

    python -m benchmarks.river_by_hand FOLDER [--limit PAYMENTS] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import orjson
from river import drift, linear_model, metrics, preprocessing

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WAIT = 7 * DAY

Record = dict[str, Any]


class Window:
    """Payments of one card within a span: a queue with a running count and sum."""

    __slots__ = ("count", "held", "span", "total")

    def __init__(self, span: int) -> None:
        self.span = span
        self.held: deque[tuple[int, float]] = deque()
        self.count = 0
        self.total = 0.0

    def forget(self, now: int) -> None:
        """Drop what is older than the span at `now`."""
        held, edge = self.held, now - self.span
        while held and held[0][0] <= edge:
            self.total -= held.popleft()[1]
            self.count -= 1

    def add(self, now: int, amount: float) -> None:
        """Take one payment in."""
        self.held.append((now, amount))
        self.count += 1
        self.total += amount


class Card:
    """What is kept of one card."""

    __slots__ = ("day", "frauds", "hour", "last", "minutes", "month", "week")

    def __init__(self) -> None:
        self.minutes = Window(10 * MINUTE)
        self.hour = Window(HOUR)
        self.day = Window(DAY)
        self.week = Window(7 * DAY)
        self.month = Window(30 * DAY)
        self.frauds: deque[int] = deque()
        self.last: int | None = None

    def features(self, at: int, received: int, amount: float) -> dict[str, float]:
        """Return the twelve features of a payment and take it into the windows."""
        week = self.week
        week.forget(at)
        usual = week.total / week.count if week.count else None
        windows = (self.minutes, self.hour, self.day, week, self.month)
        for window in windows:
            window.forget(at)
            window.add(at, amount)
        frauds = self.frauds
        while frauds and frauds[0] <= received - 28 * DAY:
            frauds.popleft()
        hour = at // HOUR % 24
        row = {
            "amount": math.log1p(amount),
            "hour": float(hour),
            "night": hour < 6,
            "n_10m": self.minutes.count,
            "n_1h": self.hour.count,
            "n_1d": self.day.count,
            "n_7d": week.count,
            "mean_1d": self.day.total / self.day.count,
            "mean_30d": self.month.total / self.month.count,
            "frauds_28d": len(frauds),
        }
        if usual:
            row["ratio"] = amount / usual
        if self.last is not None:
            row["gap"] = max(0, at - self.last) / 1000
        self.last = at
        return row


@dataclass
class Scorer:
    """Model, pending payments, metrics and the answers' file."""

    out: TextIO | None
    cards: defaultdict[str, Card] = field(default_factory=lambda: defaultdict(Card))
    pending: dict[str, tuple[str, int, dict[str, float], float]] = field(default_factory=dict)
    waiting: deque[tuple[int, str]] = field(default_factory=deque)
    model: Any = field(default_factory=lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression())
    log_loss: Any = field(default_factory=metrics.LogLoss)
    auc: Any = field(default_factory=metrics.ROCAUC)
    adwin: Any = field(default_factory=drift.ADWIN)
    payments: int = 0
    learned: int = 0
    alarms: int = 0
    scores: list[float] = field(default_factory=list)
    truths: list[bool] = field(default_factory=list)

    def payment(self, record: Record) -> None:
        """Answer a payment."""
        received = record["received"]
        self.time_out(received)
        name, card, amount = record["payment"], record["card"], record["amount"]
        if name in self.pending:
            return
        row = self.cards[card].features(record["at"], received, amount)
        score = self.model.predict_proba_one(row).get(True, 0.5)
        self.payments += 1
        self.pending[name] = (card, received, row, score)
        self.waiting.append((received + WAIT, name))
        if self.out is not None:
            answer = {"id": name, "key": card, "at": record["at"], "prediction": score > 0.5, "score": score}
            self.out.write(orjson.dumps(answer).decode() + "\n")

    def chargeback(self, record: Record) -> None:
        """Join a label."""
        received = record["received"]
        self.time_out(received)
        self.known(record["payment"], record["fraud"], received)

    def time_out(self, now: int) -> None:
        """Take silence for an answer, a week after the payment."""
        waiting = self.waiting
        while waiting and waiting[0][0] < now:
            moment, name = waiting.popleft()
            self.known(name, False, moment)

    def known(self, name: str, fraud: bool, moment: int) -> None:
        """Measure, learn, and remember the card's frauds."""
        kept = self.pending.pop(name, None)
        if kept is None:
            return
        card, _, row, score = kept
        self.log_loss.update(fraud, score)
        self.auc.update(fraud, score)
        self.adwin.update(float((score > 0.5) != fraud))
        self.alarms += self.adwin.drift_detected
        self.model.learn_one(row, fraud)
        self.scores.append(score)
        self.truths.append(fraud)
        self.learned += 1
        if fraud:
            self.cards[card].frauds.append(moment)


def exact_auc(truths: list[bool], scores: list[float]) -> float:
    """Return the ROC AUC over all pairs (river's own has ten thresholds); equal scores count a half."""
    _, place, counts = np.unique(np.array(scores), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    true = np.array(truths)
    positives, negatives = int(true.sum()), int((~true).sum())
    return float((ranks[true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def merged(folder: Path, limit: int | None) -> Iterator[tuple[bool, Record]]:
    """Yield (is it a payment, record) of both files by received time, payments first where it is equal."""
    with (folder / "payments.ndjson").open("rb") as payments, (folder / "chargebacks.ndjson").open("rb") as labels:
        label = next((orjson.loads(line) for line in labels), None)
        for number, line in enumerate(payments):
            if number == limit:
                return
            payment = orjson.loads(line)
            while label is not None and label["received"] < payment["received"]:
                yield False, label
                label = next((orjson.loads(line) for line in labels), None)
            yield True, payment
        while label is not None:
            yield False, label
            label = next((orjson.loads(line) for line in labels), None)


def run(folder: Path, limit: int | None, out: Path | None) -> dict[str, object]:
    """Run the stream through and return what was measured."""
    with (out or Path(os.devnull)).open("w", encoding="utf-8") as file:
        scorer = Scorer(file)
        wall, cpu = time.perf_counter(), time.process_time()
        for is_payment, record in merged(folder, limit):
            if is_payment:
                scorer.payment(record)
            else:
                scorer.chargeback(record)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "program": "river by hand",
        "payments": scorer.payments,
        "learned": scorer.learned,
        "seconds": round(wall, 3),
        "cpu_us_per_payment": round(cpu / scorer.payments * 1e6, 2),
        "payments_per_second": round(scorer.payments / wall),
        "roc_auc": exact_auc(scorer.truths, scorer.scores),
        "roc_auc_river": scorer.auc.get(),
        "log_loss": scorer.log_loss.get(),
        "alarms": scorer.alarms,
    }


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds payments.ndjson and chargebacks.ndjson")
    parser.add_argument("--limit", type=int, help="stop after so many payments")
    parser.add_argument("--out", type=Path, help="write predictions there (NDJSON); thrown away otherwise")
    options = parser.parse_args()
    print(json.dumps(run(options.folder, options.limit, options.out), indent=2))


if __name__ == "__main__":
    main()

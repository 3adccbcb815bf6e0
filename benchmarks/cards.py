"""The cards stream replayed from NDJSON, beside the same pipeline by hand with river, in turn on one core.

Both read the same files, compute the same twelve features (eight of them windows by card), predict, join, learn, and
keep log loss, ROC AUC and ADWIN. The engine writes predictions, examples, alarms and metrics, the program by hand
predictions only; neither has a journal. Windows are tiles in the engine and exact by hand, so quality is compared to
a few thousandths; then, on a shorter stream in order, the pipeline with exact windows is compared with the program by
hand feature by feature and score by score.

    python -m benchmarks cards [--quick]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import cards_exact
from benchmarks.command import Found, check, main, scratch
from benchmarks.river_by_hand import Scorer, merged
from benchmarks.side_by_side import measure, ratio
from stream_ml.demos.generate import CardsSpec, Labels, write_cards
from stream_ml.engines.replay import replay
from stream_ml.engines.replay.engine import Options

ENGINE, BY_HAND = "stream_ml replay", "river by hand"
LIMIT = 150_000
QUALITY = 0.005  # tiles against exact windows, and the engine's histogram for ROC AUC
FEATURES = 1e-9  # largest difference, relative to max(1, |value|): running sums against sums
SCORES = 1e-6  # what those differences may do to the scores of a model that learns from them


def benchmark(quick: bool) -> Found:
    """Measure both programs in turn and compare what they answered."""
    payments, rounds = (20_000, 1) if quick else (300_000, 3)
    with scratch() as folder:
        write_cards(folder, CardsSpec(payments=payments, labels=Labels.ALL))
        programs = {
            ENGINE: ("-m", "benchmarks.replay_cards", str(folder), str(folder / "engine")),
            BY_HAND: ("-m", "benchmarks.river_by_hand", str(folder), "--out", str(folder / "by_hand.ndjson")),
        }
        found = measure(programs, rounds)
        size = sum(path.stat().st_size for path in folder.glob("*s.ndjson"))
    ours, theirs = found[ENGINE], found[BY_HAND]
    for what in ("payments", "learned"):
        check(holds=ours[what] == theirs[what] == payments, what=f"{what}: {ours[what]} and {theirs[what]}")
    for what in ("roc_auc", "log_loss"):
        check(holds=abs(ours[what] - theirs[what]) < QUALITY, what=f"{what}: {ours[what]} and {theirs[what]}")
    return {
        "workload": f"cards: {payments:,} payments and as many label records from NDJSON ({size:,} bytes), one core",
        "rounds": rounds,
        "limit_payments_per_second": LIMIT,
        "reached": bool(ours["payments_per_second"]["median"] >= LIMIT),
        "programs": found,
        "ratio": ratio(found, ENGINE, BY_HAND),
        "same_features": same_features(4_000 if quick else 50_000),
    }


def same_features(payments: int) -> Found:
    """Compare the engine with exact windows to the program by hand, on a stream in order."""
    with scratch() as folder:
        days = 60  # so that every window both fills and empties
        spec = CardsSpec(
            payments=payments, cards=500, per_day=payments // days, labels=Labels.ALL, disorder=0.0, late=0.0
        )
        write_cards(folder, spec)
        history = {name: folder / f"{name}.ndjson" for name in ("payments", "chargebacks")}
        done = replay(cards_exact.pipeline, history, features=True, options=Options(collect=True))
        by_hand = answers_by_hand(folder)
    ours = [json.loads(value) for value in done.outputs["predictions"]]
    check(holds=len(ours) == len(by_hand) == payments, what="predictions")
    features = scores = 0.0
    for answer, (name, row, score) in zip(ours, by_hand, strict=True):
        check(holds=answer["id"] == name, what=f"{answer['id']} stands where {name} should")
        features = max(features, largest(answer["features"], row))
        scores = max(scores, abs(answer["score"] - score))
    check(holds=features <= FEATURES, what=f"features differ by {features}")
    check(holds=scores <= SCORES, what=f"scores differ by {scores}")
    return {"payments": payments, "largest_feature_difference": features, "largest_score_difference": scores}


def answers_by_hand(folder: Path) -> list[tuple[str, dict[str, float], float]]:
    """Return id, features and score of each payment by the program by hand."""
    scorer, found = Scorer(None), []
    for is_payment, record in merged(folder, None):
        if is_payment:
            scorer.payment(record)
            _, _, row, score = scorer.pending[record["payment"]]
            found.append((record["payment"], row, score))
        else:
            scorer.chargeback(record)
    return found


def largest(ours: dict[str, Any], row: dict[str, float]) -> float:
    """Return the largest difference of two rows of features; infinite where one lacks what the other has."""
    present = {name: float(value) for name, value in ours.items() if value is not None}
    if set(present) != set(row):
        return float("inf")
    return max(abs(value - row[name]) / max(1.0, abs(row[name])) for name, value in present.items())


if __name__ == "__main__":
    main("cards", benchmark, __doc__)

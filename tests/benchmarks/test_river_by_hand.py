"""The program by hand that the engine is measured against: payments answered, labels learned, frauds found."""

from __future__ import annotations

from pathlib import Path

from benchmarks.river_by_hand import DAY, HOUR, MINUTE, Card, exact_auc, run
from stream_ml.demos.generate import CardsSpec, Labels, write_cards

PAYMENTS = 4_000


def test_every_payment_is_answered_and_learned_once(tmp_path: Path) -> None:
    write_cards(tmp_path, CardsSpec(payments=PAYMENTS, cards=100, per_day=400, labels=Labels.ALL))
    result = run(tmp_path, None, tmp_path / "predictions.ndjson")
    assert (result["payments"], result["learned"]) == (PAYMENTS, PAYMENTS)
    assert len((tmp_path / "predictions.ndjson").read_text().splitlines()) == PAYMENTS
    auc = result["roc_auc"]
    assert isinstance(auc, float)
    assert auc > 0.75


def test_silence_is_learned_after_a_week(tmp_path: Path) -> None:
    write_cards(tmp_path, CardsSpec(payments=PAYMENTS, cards=100, per_day=200, labels=Labels.FRAUDS))
    result = run(tmp_path, None, None)
    learned = result["learned"]
    assert isinstance(learned, int)
    assert PAYMENTS * 0.5 < learned < PAYMENTS


def test_features_of_a_card() -> None:
    card = Card()
    assert "gap" not in card.features(0, 0, 10.0)
    row = card.features(30 * MINUTE, 30 * MINUTE, 30.0)
    assert (row["n_10m"], row["n_1h"], row["mean_1d"], row["ratio"], row["gap"]) == (1, 2, 20.0, 3.0, 1800.0)
    row = card.features(DAY + 15 * MINUTE, DAY + 15 * MINUTE, 30.0)
    assert (row["n_1h"], row["n_1d"], row["n_7d"], row["hour"]) == (1, 2, 3, 0.0)
    card.frauds.append(DAY + HOUR)
    assert card.features(2 * DAY, 2 * DAY, 1.0)["frauds_28d"] == 1
    assert card.features(40 * DAY, 40 * DAY, 1.0)["frauds_28d"] == 0


def test_exact_auc_counts_equal_scores_as_a_half() -> None:
    assert exact_auc([True, False], [0.9, 0.1]) == 1.0
    assert exact_auc([True, False], [0.1, 0.9]) == 0.0
    assert exact_auc([True, False, True, False], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert exact_auc([True, False, False], [0.5, 0.5, 0.2]) == 0.75

"""The generated cards stream: what its spec promises, and frauds that can be learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stream_ml.demos.generate import DAY_MS, WAIT_MS, Cards, CardsSpec, Labels, cards, write_cards

SPEC = CardsSpec(payments=20_000, seed=3, cards=500, per_day=500, duplicates=0.01)


@pytest.fixture(scope="module")
def stream() -> Cards:
    return cards(SPEC)


def test_equal_specs_give_equal_streams_and_other_seeds_do_not(stream: Cards) -> None:
    again, other = cards(SPEC), cards(replace(SPEC, seed=4))
    assert all(np.array_equal(getattr(stream, name), getattr(again, name)) for name in Cards.__slots__)
    assert not np.array_equal(stream.amount[:100], other.amount[:100])


def test_received_times_never_go_back_and_never_precede_the_event(stream: Cards) -> None:
    assert (np.diff(stream.received) >= 0).all()
    assert (np.diff(stream.told) >= 0).all()
    assert (stream.received > stream.at).all()


def test_shares_are_those_of_the_spec(stream: Cards) -> None:
    newest = np.maximum.accumulate(stream.at)
    assert 0.0003 < float((stream.at < newest - 30_000).mean()) < 0.02  # late, duplicates among them
    assert float((stream.at < newest).mean()) > 0.003  # out of order
    assert len(stream.payment) - len(np.unique(stream.payment)) == pytest.approx(200, abs=60)
    assert float(stream.fraud.mean()) == pytest.approx(SPEC.fraud, abs=0.002)
    assert len(np.unique(stream.card)) <= SPEC.cards


def test_only_frauds_are_told_once_hours_to_days_later(stream: Cards) -> None:
    assert stream.fraud[stream.of].all()
    assert len(stream.of) == len(np.unique(stream.payment[stream.fraud]))
    delay = stream.told - stream.received[stream.of]
    assert int(delay.min()) >= 2 * 3_600_000
    assert 0 < float((delay > WAIT_MS).mean()) < 0.06
    assert float(np.median(delay)) > DAY_MS / 2


def test_every_payment_has_a_label_record_where_all_are_asked_for() -> None:
    stream = cards(replace(SPEC, labels=Labels.ALL))
    assert sorted(stream.payment[stream.of].tolist()) == list(range(SPEC.payments))


def test_frauds_come_in_bursts(stream: Cards) -> None:
    order = np.lexsort((stream.at, stream.card))
    same_card = stream.card[order][1:] == stream.card[order][:-1]
    quick = np.zeros(len(order), np.bool_)
    quick[order[1:]] = same_card & (np.diff(stream.at[order]) < 30 * 60_000)
    assert float(quick[stream.fraud].mean()) > 0.6
    assert float(quick[~stream.fraud].mean()) < 0.1


def test_written_files_hold_the_stream(stream: Cards, tmp_path: Path) -> None:
    files = write_cards(tmp_path, SPEC)
    payments = [json.loads(line) for line in files["payments"].read_text().splitlines()]
    chargebacks = [json.loads(line) for line in files["chargebacks"].read_text().splitlines()]
    assert [payment["amount"] for payment in payments] == stream.amount.tolist()
    assert [payment["received"] for payment in payments] == stream.received.tolist()
    assert list(payments[0]) == ["payment", "card", "terminal", "country", "amount", "at", "received"]
    assert list(chargebacks[0]) == ["payment", "card", "fraud", "received"]
    card_of = {payment["payment"]: payment["card"] for payment in payments}
    assert all(card_of[label["payment"]] == label["card"] for label in chargebacks)

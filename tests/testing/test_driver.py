"""The driver that users test their pipelines with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream_ml.errors import DeclarationError, UsageError
from stream_ml.testing import Driver
from stream_ml.testing.example import Chargeback, Payment, pipeline

AT = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)
CARDS = Path(__file__).parent.parent / "pipelines" / "cards.py"


def payment(name: str, **other: Any) -> dict[str, Any]:
    return {"payment": name, "card": "c1", "amount": 1.0, "at": "2025-03-01T10:00:00Z", **other}


def test_a_record_may_be_a_dict_an_instance_or_bytes() -> None:
    driver = Driver(pipeline)
    driver.send("payments", payment("a"))
    driver.send(Payment, payment("b", at=AT))
    driver.send(Payment(payment="c", card="c1", amount=1.0, at=AT))
    driver.send("payments", b'{"payment":"d","card":"c1","amount":1.0,"at":"2025-03-01T10:00:00Z"}')
    found = driver.predictions()
    assert [one["id"] for one in found] == ["a", "b", "c", "d"]
    assert [one["features"]["n_1h"] for one in found] == [1, 2, 3, 4]
    assert [one["prediction_id"] for one in found] == [f"payments/0/{i}" for i in range(4)]


def test_what_was_read_is_not_read_again_and_stands_in_all() -> None:
    driver = Driver(pipeline)
    driver.send(Payment, payment("a"))
    assert len(driver.predictions()) == 1
    assert driver.predictions() == []
    driver.send(Payment, payment("b"))
    assert [one["id"] for one in driver.predictions()] == ["b"]
    assert [one["id"] for one in driver.all_predictions] == ["a", "b"]
    driver.send(Payment, b"")
    assert driver.dead() == driver.all_dead != []
    assert driver.examples() == driver.all_examples == driver.alarms() == driver.all_alarms == []
    assert driver.metrics() == driver.all_metrics == []


def test_a_record_is_received_at_its_own_time_but_never_earlier_than_the_last() -> None:
    driver = Driver(pipeline)
    driver.send(Payment, payment("a"))
    assert driver.now == MS
    driver.send(Payment, payment("b", at="2025-03-01T09:59:50Z"))
    assert driver.now == MS
    driver.send(Payment, payment("c"), received="2025-03-01T10:00:05Z")
    assert driver.now == MS + 5_000
    driver.send(Payment, payment("d"), received=MS + 6_000)
    driver.send(Payment, payment("e"), received=AT)
    assert driver.now == MS + 6_000


def test_a_label_joins_at_exactly_the_wait_and_silence_speaks_after_it() -> None:
    driver = Driver(pipeline)
    driver.send(Payment, payment("a"))
    driver.send(Payment, payment("b"))
    driver.advance("7d")
    assert driver.examples() == []
    driver.send(Chargeback, {"payment": "a", "card": "c1", "fraud": True})
    driver.tick(driver.now + 1)
    found = driver.examples()
    assert [(one["id"], one["fate"], one["target"]) for one in found] == [("a", "label", True), ("b", "silence", False)]
    assert [one["known"] for one in found] == [MS + 604_800_000] * 2
    assert driver.stats["pending"] == 0
    assert driver.quality()[0]["n"] == 2


@pytest.mark.parametrize("crash", [True, False])
def test_stopping_changes_nothing(crash: bool) -> None:
    driver, other = Driver(pipeline), Driver(pipeline)
    for one in (driver, other):
        one.send(Payment, payment("a"))
        one.send(Chargeback, {"payment": "b", "card": "c1", "fraud": True})
    driver.stop_and_recover(crash=crash)
    assert driver.state() == other.state()
    driver.stop_and_recover(crash=True)
    driver.snapshot()
    driver.stop_and_recover(crash=crash)
    for one in (driver, other):
        one.send(Payment, payment("b"))
        one.advance("8d")
    assert driver.predictions() == other.predictions()
    assert driver.examples() == other.examples()
    assert driver.state() == other.state()
    assert driver.written("examples") == other.written("examples")


def test_state_holds_texts_and_sees_a_difference() -> None:
    driver, other = Driver(pipeline), Driver(pipeline)
    driver.send(Payment, payment("a"))
    other.send(Payment, payment("a", card="c2"))
    assert driver.state() != other.state()
    ((key, _, window),) = driver.state()["keys"]["0"]
    assert key == ["c1"]
    assert window[0] == 1.0
    assert [one["id"] for one in driver.state()["ring"]] == ["a"]


def test_features_may_be_left_out() -> None:
    driver = Driver(pipeline, features=False)
    driver.send(Payment, payment("a"))
    driver.stop_and_recover(crash=True)
    driver.send(Payment, payment("b"))
    assert [sorted(one) for one in driver.predictions()] == [["at", "id", "key", "prediction", "prediction_id", "score",
                                                               "version"]] * 2  # fmt: skip
    assert driver.session.differences == 0


def test_a_pipeline_may_be_a_path() -> None:
    assert Driver(str(CARDS)).pipeline.name == Driver(CARDS).pipeline.name
    with pytest.raises(DeclarationError):
        Driver("nothing.py")


def test_mistakes_are_told() -> None:
    driver = Driver(pipeline)
    with pytest.raises(UsageError) as caught:
        driver.send("payment", {})
    assert str(caught.value) == "'fraud' does not read the topic 'payment'. It reads 'payments', 'chargebacks'"
    with pytest.raises(UsageError) as caught:
        driver.send("payments")
    assert str(caught.value) == "no record was given for 'payments'. Give a dict, an instance or bytes"
    with pytest.raises(UsageError) as caught:
        driver.send(Chargeback, {"payment": "a", "card": "c1", "fraud": True})
    assert caught.value.cause == "when 'chargebacks' received this label is not known"
    assert driver.stats["labels"] == 0
    started = Driver(pipeline, start="2025-03-01")
    started.send(Chargeback, {"payment": "a", "card": "c1", "fraud": True})
    assert started.stats["held"] == 1

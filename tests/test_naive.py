"""The twin against examples worked out by hand; times are seconds from START."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from river import linear_model

from stream_ml import Event, Features, Label, Pipeline, Table, fn
from tests.naive import Naive
from tests.streams import START, iso

SECOND = 1000


class Shop(Table, topic="shops", key="shop"):
    shop: str
    risk: float


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="10s", ahead="1m"):
    payment: str
    card: str
    shop: str | None = None
    amount: float | None = None
    at: datetime


#: columns that may be missing, in arithmetic and as conditions: a type checker sees `float | None`
AMOUNT: Any = Payment.amount


class Chargeback(Label, of=Payment, topic="chargebacks", wait="1m", silence={"fraud": False}):
    payment: str
    card: str
    fraud: bool | None


FRAUD: Any = Chargeback.fraud


class Seen(Features, of=Payment):
    n = fn.count(Payment).over("1m", by=Payment.card)
    total = fn.sum(Payment.amount).before("1m", by=Payment.card)
    frauds = fn.count(Chargeback).where(FRAUD).over("1h", by=Payment.shop)
    known = fn.count(Chargeback).over("1h", by=None)
    last = fn.lag(Payment.amount).over(by=Payment.card)
    gap = fn.since_last(Payment).over(by=Payment.card)
    risk = fn.lookup(Shop.risk, Payment.shop)


class Story:
    """Feeds a twin with short lines."""

    def __init__(self, label: Any = Chargeback.fraud, features: Any = Seen, **more: Any) -> None:
        model = linear_model.LogisticRegression() if label is not None else None
        self.twin = Naive(Pipeline("story", features=features, label=label, model=model, **more))
        self.offset = 0

    def put(self, topic: str, second: float, **value: Any) -> None:
        self.twin.feed(topic, START + round(second * SECOND), value, self.offset)
        self.offset += 1

    def pay(self, second: float, name: str, *, at: float | None = None, card: str = "c", **more: Any) -> dict[str, Any]:
        stamp = iso(START + round((second if at is None else at) * SECOND))
        before = len(self.twin.predictions)
        self.put("payments", second, payment=name, card=card, at=stamp, **more)
        return self.twin.predictions[-1].features if len(self.twin.predictions) > before else {}

    def charge(self, second: float, name: str, fraud: bool | None = True) -> None:
        self.put("chargebacks", second, payment=name, card="c", fraud=fraud)

    def tick(self, second: float) -> None:
        self.twin.tick(START + round(second * SECOND))

    def told(self) -> list[tuple[Any, str, Any, float]]:
        return [(e.id, e.fate, e.target, (e.known - START) / SECOND) for e in self.twin.examples]


class TestEvents:
    def test_a_window_holds_the_present_event_and_before_leaves_it_out(self) -> None:
        story = Story()
        assert story.pay(0, "a", amount=5.0) == {"n_1m": 1, "total_1m": 0.0, "known_1h": 0}
        found = story.pay(3, "b", amount=7.0)
        assert found == {"n_1m": 2, "total_1m": 5.0, "known_1h": 0, "last": 5.0, "gap": 3.0}
        assert type(found["n_1m"]) is int

    def test_an_event_out_of_order_lands_at_its_own_time_and_reads_as_of_it(self) -> None:
        story = Story()
        story.pay(0, "a", amount=1.0)
        story.pay(70, "b", amount=2.0)
        # dated 62: the window is (2, 62], which holds neither a nor b
        found = story.pay(70, "c", at=62, amount=4.0)
        assert (found["n_1m"], found["total_1m"], found["last"], found["gap"]) == (1, 0.0, 2.0, 0.0)
        # dated 71: (11, 71] holds b and c; what came last is dated 62
        found = story.pay(71, "d")
        assert (found["n_1m"], found["total_1m"], found["last"], found["gap"]) == (3, 6.0, 4.0, 9.0)
        assert story.twin.counters["late"] == 0

    def test_a_late_event_is_answered_and_changes_nothing(self) -> None:
        story = Story()
        story.pay(0, "a", amount=1.0)
        story.pay(65, "b", amount=2.0)
        # newest - lateness is 55: read as of 55, (-5, 55] holds a alone; it is not in its own window
        found = story.pay(66, "c", at=54.999, amount=64.0)
        assert (found["n_1m"], found["total_1m"], found["last"], found["gap"]) == (1, 1.0, 2.0, 0.0)
        assert story.twin.predictions[-1].late
        assert not story.twin.predictions[-2].late
        assert story.pay(66, "d")["last"] == 2.0
        # at exactly newest - lateness, which is now 56, it is in order
        story.pay(66, "e", at=56)
        assert not story.twin.predictions[-1].late

    def test_a_missing_value_adds_nothing(self) -> None:
        story = Story()
        story.pay(0, "a", amount=3.0)
        story.pay(1, "b", amount=None)
        assert story.pay(2, "c") == {"n_1m": 3, "total_1m": 3.0, "known_1h": 0, "last": 3.0, "gap": 1.0}

    def test_an_id_is_taken_for_the_wait(self) -> None:
        story = Story()
        story.pay(0, "a")
        assert story.pay(60, "a") == {}, "at exactly wait it is a duplicate"
        assert story.pay(60.001, "a") != {}
        assert story.twin.counters["duplicate"] == 1

    def test_ahead_is_dead_and_not_seen(self) -> None:
        story = Story()
        story.pay(0, "a", at=60.001)
        story.pay(0, "a", at=60)
        assert [(d.offset, d.reason) for d in story.twin.dead] == [(0, "ahead")]
        assert [row.at for row in story.twin.predictions] == [START + 60_000]

    def test_a_table_is_looked_up_as_it_last_was(self) -> None:
        story = Story()
        assert "risk" not in story.pay(0, "a", shop="s")
        story.put("shops", 1, shop="s", risk=0.5)
        story.put("shops", 2, shop="s", risk=0.25)
        assert story.pay(3, "b", shop="s")["risk"] == 0.25
        assert "risk" not in story.pay(3, "c")

    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (b"", "empty"),
            (b"{", "json"),
            (b"[]", "json"),
            ({"card": "c"}, "missing"),
            ({"payment": "a", "card": None, "at": iso(START)}, "null_key"),
            ({"payment": "a", "card": "c", "amount": "much", "at": iso(START)}, "type"),
            ({"payment": "a", "card": "c", "amount": float("inf"), "at": iso(START)}, "number"),
            (b'{"payment": "a", "card": "c", "amount": 1e999, "at": "2025-01-01T00:00:00Z"}', "number"),
            (b'{"payment": "a", "card": "c", "amount": 9007199254740993, "at": "2025-01-01T00:00:00Z"}', "number"),
            ({"payment": "a", "card": "c", "at": "yesterday"}, "time"),
        ],
    )
    def test_a_bad_record_is_dead(self, record: Any, reason: str) -> None:
        story = Story()
        story.twin.feed("payments", START, record, 7)
        assert [(d.offset, d.role, d.reason) for d in story.twin.dead] == [(7, "event", reason)]
        assert story.twin.counters["events"] == 1
        assert story.twin.predictions == []


class TestLabels:
    def test_the_first_label_wins(self) -> None:
        story = Story()
        story.pay(0, "a")
        story.charge(5, "a", True)
        story.charge(6, "a", False)
        assert story.told() == [("a", "label", True, 5.0)]
        assert story.twin.counters["again"] == 1

    def test_a_label_at_exactly_wait_still_joins_and_after_it_silence_has_spoken(self) -> None:
        story = Story()
        story.pay(0, "a")
        story.pay(1, "b")
        story.charge(60, "a")
        story.charge(61.001, "b")
        assert story.told() == [("a", "label", True, 60.0), ("b", "silence", False, 61.0)]
        assert story.twin.counters["held"] == 1, "the second waits for an event named b"

    def test_a_label_before_its_event_is_held_and_known_when_the_event_comes(self) -> None:
        story = Story()
        story.charge(0, "a")
        story.charge(0, "a", False)
        story.pay(60, "a", shop="s")
        assert story.told() == [("a", "label", True, 60.0)]
        assert story.twin.counters["again"] == 1
        assert story.pay(61, "b", shop="s")["frauds_1h"] == 1

    def test_a_held_label_expires(self) -> None:
        story = Story()
        story.charge(0, "a")
        story.pay(60.001, "a")
        assert [(d.offset, d.reason) for d in story.twin.dead] == [(0, "unmatched")]
        assert story.told() == []

    def test_outcomes_are_counted_when_known_by_silence_too(self) -> None:
        story = Story()
        story.pay(0, "a", shop="s")
        story.pay(1, "b", shop="s")
        story.charge(30, "b")
        assert story.pay(60, "c", shop="s")["known_1h"] == 1
        found = story.pay(60.001, "d", shop="s")
        assert (found["known_1h"], found["frauds_1h"]) == (2, 1)

    def test_a_tick_fires_time_outs_before_it(self) -> None:
        story = Story()
        story.pay(0, "a")
        story.tick(60)
        assert story.told() == []
        story.tick(60.001)
        assert story.told() == [("a", "silence", False, 60.0)]

    def test_an_event_that_was_not_asked_has_an_outcome_but_no_example(self) -> None:
        story = Story(when=AMOUNT > 1)
        story.pay(0, "a")
        story.pay(0, "b", amount=1.0)
        story.pay(0, "c", amount=2.0)
        story.charge(1, "a")
        assert story.told() == []
        assert story.pay(2, "d", amount=2.0)["known_1h"] == 1
        assert [row.asked for row in story.twin.predictions] == [False, False, True, True]
        assert (story.twin.counters["predicted"], story.twin.counters["not_asked"]) == (2, 2)

    def test_a_missing_target_gives_no_example(self) -> None:
        story = Story()
        story.pay(0, "a")
        story.charge(1, "a", None)
        assert story.told() == []
        assert story.twin.counters["no_target"] == 1
        assert story.pay(2, "b")["known_1h"] == 1

    def test_without_a_label_the_example_is_written_at_once(self) -> None:
        class Only(Features, of=Payment, take=(Payment.amount,)):
            pass

        story = Story(label=None, features=Only)
        story.pay(0, "a", amount=2.0)
        story.pay(0, "b", amount=3.0)
        assert story.told() == [("a", "none", None, 0.0), ("b", "none", None, 0.0)]
        assert story.twin.order == [("predict", "a"), ("learn", "a"), ("predict", "b"), ("learn", "b")]

    def test_a_weight_may_be_of_label_and_event(self) -> None:
        story = Story(weight=fn.when(FRAUD, 20.0, otherwise=1.0) * AMOUNT)
        story.pay(0, "a", amount=2.0)
        story.pay(0, "b")
        story.charge(1, "a")
        story.charge(1, "b")
        assert [(e.weight, e.learned) for e in story.twin.examples] == [(40.0, True), (None, False)]
        assert story.twin.order == [("predict", "a"), ("predict", "b"), ("learn", "a")]


class Ping(Event, topic="pings", key="order", time="at", lateness="10s"):
    order: str
    zone: str | None = None
    at: datetime


class Done(Label, of=Ping, topic="pings", on="zone", wait="1m", delay="5s"):
    zone: str
    order: str
    how: float = 1.0


class PingSeen(Features, of=Ping):
    hows = fn.sum(Done.how).over("1h", by=None)


class TestOn:
    def test_a_delayed_label_answers_what_came_before_its_record_and_never_its_own_event(self) -> None:
        twin = Naive(Pipeline("pings", features=PingSeen, label=Done.how, model=None))

        def ping(second: float, offset: int, zone: str | None, how: float = 1.0) -> None:
            at = START + round(second * SECOND)
            record = {"order": "o", "zone": zone, "at": iso(at), "how": how}
            twin.feed("pings", at, record, offset)

        ping(0, 0, "x")
        ping(1, 1, "y")
        ping(2, 2, "x", 5.0)
        ping(4, 3, "x", 7.0)
        assert twin.examples == []
        ping(5, 4, "z")  # the label of record 0 has answered nothing
        assert twin.counters["idle"] == 1
        ping(7, 5, "z")  # the label of record 2 is known at 7, before this record
        assert [(e.id, e.target, e.known) for e in twin.examples] == [("pings/0/0", 5.0, START + 7 * SECOND)]
        assert twin.predictions[-1].features == {"hows_1h": 5.0}
        ping(9, 6, None)  # record 3's label answers record 2; a null is no label and is told so
        assert [(e.id, e.target) for e in twin.examples][1:] == [("pings/0/2", 7.0)]
        assert [(d.offset, d.role, d.reason) for d in twin.dead] == [(6, "label", "null_key")]
        twin.tick(START + 10_000 * SECOND)
        counted = {name: twin.counters[name] for name in ("labels", "joined", "idle", "dropped")}
        # record 3 waits on in x; y, the second z and the null too: dropped; the first z was answered by the second
        assert counted == {"labels": 6, "joined": 3, "idle": 3, "dropped": 4}

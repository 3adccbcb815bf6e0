"""Kinds of expressions, and whether they may be missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stream_ml import fn
from stream_ml.errors import DeclarationError
from stream_ml.language.example import Chargeback, Payment, Shop
from stream_ml.language.kinds import Kind, kind
from stream_ml.language.missing import may_be_missing
from stream_ml.language.rows import adding_key, reading_key

PAY: Any = Payment
BACK: Any = Chargeback
SHOP: Any = Shop
HOUR = fn.hour(PAY.at)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (PAY.code, Kind.INT),
        (PAY.code + 1, Kind.FLOAT),
        (-PAY.code, Kind.FLOAT),
        (PAY.at - PAY.at, Kind.SPAN),
        (fn.seconds(PAY.at - datetime(2024, 1, 1, tzinfo=UTC)), Kind.FLOAT),
        (PAY.at > datetime(2024, 1, 1, tzinfo=UTC), Kind.BOOL),
        (PAY.country == "FR", Kind.BOOL),
        ((PAY.amount > 1) & ~fn.is_missing(PAY.country), Kind.BOOL),
        (fn.isin(PAY.code, 1, 2), Kind.BOOL),
        (HOUR, Kind.FLOAT),
        (fn.cyclic(HOUR, 24)["sin"], Kind.FLOAT),
        (fn.category(HOUR), Kind.CATEGORY),
        (fn.bins(PAY.amount, 1, 2), Kind.CATEGORY),
        (fn.hashed(fn.cross(PAY.card, fn.category(HOUR)), 8), Kind.CATEGORY),
        (fn.cross(PAY.card, PAY.code), Kind.TEXT),
        (fn.lower(PAY.note), Kind.TEXT),
        (fn.length(PAY.note), Kind.FLOAT),
        (fn.fill(PAY.country, "none"), Kind.TEXT),
        (fn.fill(PAY.code, 0), Kind.INT),
        (fn.when(PAY.code > 1, PAY.code, otherwise=0), Kind.INT),
        (fn.when(PAY.code > 1, PAY.code, otherwise=0.5), Kind.FLOAT),
        (fn.when(PAY.code > 1, PAY.country), Kind.TEXT),
        (fn.lookup(SHOP.opened, PAY.shop), Kind.TIME),
        (fn.count(Payment).over("1h", by=PAY.card), Kind.INT),
        (fn.mean(BACK.fraud).over("1h", by=PAY.card), Kind.FLOAT),
        (fn.max(PAY.code).over("1h", by=PAY.card), Kind.FLOAT),
        (fn.lag(PAY.code).over(by=PAY.card), Kind.INT),
        (fn.first(PAY.at).over(by=PAY.card), Kind.TIME),
        (fn.last(BACK.fraud).over(by=PAY.card), Kind.BOOL),
        (fn.since_last(Payment).over(by=PAY.card), Kind.FLOAT),
    ],
)
def test_kind(expr: Any, expected: Kind) -> None:
    assert kind(expr) is expected


@pytest.mark.parametrize(
    "expr",
    [
        PAY.card * 2, -PAY.card, fn.log1p(PAY.at), PAY.card < "a", PAY.at < 5, PAY.card == PAY.code, PAY.at + PAY.at,
        (PAY.at - PAY.at) > 5, fn.seconds(PAY.at), fn.hour(PAY.code), fn.length(PAY.code), fn.category(PAY.card),
        fn.cross(PAY.amount, PAY.card), fn.bins(fn.category(PAY.code), 1), fn.category(PAY.code) + 1, ~PAY.code,
        PAY.code & (PAY.amount > 1), fn.fill(PAY.code, "a"), fn.isin(PAY.card, 1), fn.when(PAY.code > 1, None),
        fn.when(PAY.code > 1, 1, otherwise="a"), fn.mean(PAY.at - PAY.at).over("1h", by=None),
        fn.sum(PAY.note).over("1h", by=None), fn.min(PAY.at).over("1h", by=None),
        fn.count(Payment).where(PAY.amount + 1).over("1h", by=None),
        fn.count(Payment).over("1h", by=PAY.at - PAY.at),
    ],
    ids=repr,
)  # fmt: skip
def test_no_kind(expr: Any) -> None:
    with pytest.raises(DeclarationError) as caught:
        kind(expr)
    assert caught.value.place is not None
    assert caught.value.cure


@pytest.mark.parametrize(
    ("expr", "missing"),
    [
        (PAY.amount, False),
        (PAY.country, True),
        (PAY.amount * 2 + PAY.code, False),
        (PAY.amount / 2, False),
        (PAY.amount / 0, True),
        (PAY.amount / PAY.code, True),
        (PAY.amount**2, False),
        (PAY.amount**-1, True),
        (PAY.amount**0.5, True),
        (fn.log1p(PAY.amount), True),
        (fn.log1p(fn.length(PAY.note)), False),
        (fn.log1p(fn.abs(PAY.amount)), False),
        (fn.sqrt(fn.clip(PAY.amount, 0, 9)), False),
        (fn.exp(PAY.amount), True),
        (fn.fill(PAY.country, "x"), False),
        (fn.is_missing(PAY.country), False),
        (PAY.country == "FR", True),
        (fn.when(PAY.amount > 1, 1.0), True),
        (fn.when(PAY.amount > 1, 1.0, otherwise=0.0), False),
        (fn.when(PAY.country == "FR", 1.0, otherwise=0.0), True),
        (fn.lookup(SHOP.risk, PAY.shop), True),
        (fn.count(Payment).over("1h", by=PAY.card), False),
        (fn.count(Payment).over("1h", by=PAY.country), True),
        (fn.sum(PAY.amount).over("1h", by=None), False),
        (fn.mean(PAY.amount).over("1h", by=None), True),
        (fn.since_last(Payment).over(by=PAY.card), True),
        (fn.log1p(fn.count(Payment).over("1h", by=PAY.card)), False),
    ],
)
def test_may_be_missing(expr: Any, missing: bool) -> None:
    assert may_be_missing(expr) is missing


def test_reading_key_takes_columns_of_the_same_name() -> None:
    window = fn.mean(BACK.fraud).over("1h", by=(BACK.card, PAY.shop))["1h"]
    assert [repr(key) for key in adding_key(window)] == ["Chargeback.card", "Payment.shop"]
    assert [repr(key) for key in reading_key(window, Payment)] == ["Payment.card", "Payment.shop"]
    plain = fn.count(Payment).over("1h", by=HOUR)["1h"]
    assert reading_key(plain, Payment)[0] is HOUR
    moved = fn.count(Payment).over("1h", by=PAY.card, at=PAY.note)["1h"]
    assert repr(reading_key(moved, Payment)) == "(Payment.note,)"
    assert reading_key(fn.count(Payment).over("1h", by=None)["1h"], Payment) == ()

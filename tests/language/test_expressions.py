"""Trees that columns, operators and functions make."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_ml import fn
from stream_ml.errors import DeclarationError
from stream_ml.language.example import Chargeback, Payment, Shop
from stream_ml.language.expr import Column, Expr, Family, pick
from stream_ml.language.spans import parse_bytes, parse_ms
from stream_ml.language.walk import columns, parts, streams, windows

PAY: Any = Payment  # at run time its fields are columns; type checkers see their values
BACK: Any = Chargeback
SHOP: Any = Shop


def trees() -> Iterator[tuple[Expr, str]]:
    a, c = PAY.amount, PAY.code
    yield a + c * 2 - 1, "Payment.amount + Payment.code * 2 - 1"
    yield (a + c) * 2, "(Payment.amount + Payment.code) * 2"
    yield a - (c - 1), "Payment.amount - (Payment.code - 1)"
    yield 2 ** (a**c), "2 ** Payment.amount ** Payment.code"
    yield (a**c) ** 2, "(Payment.amount ** Payment.code) ** 2"
    yield -(a + 1), "-(Payment.amount + 1)"
    yield ((a > 1) & ~(c == 3)) | (c != 4), "(Payment.amount > 1) & ~(Payment.code == 3) | (Payment.code != 4)"
    yield (a > 1) == (c > 1), "(Payment.amount > 1) == (Payment.code > 1)"
    yield fn.clip(1 / a, 0, 5), "fn.clip(1 / Payment.amount, 0, 5)"
    yield fn.when(a > 1, 1.0), "fn.when(Payment.amount > 1, 1.0)"
    yield fn.hour(PAY.at, tz="Asia/Tokyo"), "fn.hour(Payment.at, tz='Asia/Tokyo')"
    yield fn.lookup(SHOP.risk, PAY.shop), "fn.lookup(Shop.risk, Payment.shop)"
    yield (
        fn.mean(BACK.fraud).where(a > 5).over("7d", by=(PAY.shop, PAY.code), offset="1h", tiles=10),
        "fn.mean(Chargeback.fraud).where(Payment.amount > 5).over('7d', by=(Payment.shop, Payment.code), "
        "offset='1h', tiles=10)",
    )
    yield fn.lag(a, 3).over(by=None), "fn.lag(Payment.amount, 3).over(by=None)"
    yield fn.sum(a).before(20, "forever", by=PAY.card), "fn.sum(Payment.amount).before(20, 'forever', by=Payment.card)"
    yield (
        fn.max(a).over("1h", by=PAY.card, exact=True),
        "fn.max(Payment.amount).over('1h', by=Payment.card, exact=True)",
    )


@pytest.mark.parametrize(("tree", "text"), list(trees()))
def test_repr_is_what_the_user_wrote(tree: Expr, text: str) -> None:
    names = {"fn": fn, "Payment": Payment, "Chargeback": Chargeback, "Shop": Shop}
    assert repr(tree) == text
    assert repr(eval(text, names)) == text


def test_place_is_the_users_line() -> None:
    first = PAY.amount
    second = (
        first
        + 1
    )  # fmt: skip
    window = fn.count(Payment).over("1h", by=PAY.card)
    lines = [expr.place.line for expr in (first, second, window) if expr.place is not None]
    assert {Path(expr.place.file).name for expr in (first, second, window) if expr.place} == {Path(__file__).name}
    assert [line - lines[0] for line in lines] == [0, 2, 5]


def test_constants() -> None:
    class Colour(Enum):
        RED = "red"

    naive = datetime(2024, 1, 2)  # noqa: DTZ001 (without a zone it is UTC)
    made = [
        expr.args[1]
        for expr in (
            PAY.shop == Colour.RED,
            PAY.amount * np.float64(2.5),
            np.int64(3) * PAY.amount,
            PAY.at > naive,
        )
    ]
    assert made[0] == "red"
    assert type(made[1]) is float
    assert isinstance(made[2], Column)
    assert made[3] == datetime(2024, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, [1], {"a": 1}, int, np.zeros(3)])
def test_no_constants(value: Any) -> None:
    with pytest.raises(DeclarationError):
        PAY.amount + value


def test_family_expands_to_single_spans() -> None:
    n = fn.count(Payment).over("10m", 20, "forever", by=PAY.card)
    ratio = fn.log1p(n / (n + 1))
    assert n.tails == ratio.tails == ("10m", "last20", "forever")
    one = ratio[20]
    assert one.tails is None
    assert [window.args[1] for window in windows(one)] == [(20,)]
    assert one is ratio["last20"]
    assert one is pick(ratio, "last20")


def test_expansion_shares_what_was_shared() -> None:
    mean = fn.mean(PAY.amount).before("1h", "1d", by=PAY.card)
    z = (PAY.amount - mean) / (mean + 1)
    assert len(windows(z["1h"])) == 1
    assert windows(z["1h"])[0] is mean["1h"]


def test_cyclic() -> None:
    day = fn.cyclic(fn.hour(PAY.at), 24)
    assert isinstance(day, Family)
    assert day.tails == ("sin", "cos")
    assert (day["sin"].op, day["sin"].args[1]) == ("cyclic_sin", 24)
    with pytest.raises(DeclarationError, match="endings of two kinds"):
        fn.cyclic(fn.count(Payment).over("1h", by=None), 7)


def test_window_arguments() -> None:
    window = fn.lag(PAY.amount, 2).over(by=PAY.card)
    aggregate, *rest = window.args
    assert (aggregate.kind, aggregate.k, aggregate.source, aggregate.condition) == ("lag", 2, Payment, None)
    assert rest[0] == ()
    assert rest[3:] == ["0s", 60, False]
    [timed] = windows(fn.mean(PAY.amount).over("1h", by=None, offset="1d", exact=True)["1h"])
    assert timed.args[1:] == (("1h",), None, None, "1d", 60, True)


def test_source_is_the_label_where_one_is_read() -> None:
    assert fn.mean(PAY.amount).source is Payment
    assert fn.mean(BACK.fraud).source is Chargeback
    assert fn.mean(PAY.amount).where(BACK.fraud).source is Chargeback
    assert fn.sum(PAY.amount).where(fn.lookup(SHOP.risk, PAY.shop) > 1).source is Payment


def test_walks() -> None:
    risk = fn.lookup(SHOP.risk, PAY.shop)
    tree = risk * PAY.amount + fn.count(Payment).over("1h", by=PAY.card)["1h"]
    assert [repr(column) for column in columns(tree)] == ["Payment.shop", "Payment.amount"]
    assert streams(tree) == [Payment]
    assert [part.op for part in parts(risk)] == ["lookup", "column", "column"]


def test_deep_copy_and_hash() -> None:
    tree = PAY.amount + 1
    assert repr(copy.deepcopy(tree)) == repr(tree)
    assert len({tree, PAY.amount, PAY.amount}) == 3


def test_numpy_operators_and_functions() -> None:
    assert (np.float64(2) < PAY.amount).op in ("<", ">")
    with pytest.raises(DeclarationError, match=r"fn\.sqrt"):
        np.sqrt(PAY.amount)


@pytest.mark.parametrize(("text", "ms"), [("500ms", 500), ("30s", 30_000), ("2h", 7_200_000), ("1w", 604_800_000)])
def test_parse_ms(text: str, ms: int) -> None:
    assert parse_ms(text) == ms


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1h", "1 h", "10M", 10, None, "100000d"])
def test_parse_ms_refuses(text: object) -> None:
    with pytest.raises(DeclarationError):
        parse_ms(text)


def test_parse_bytes() -> None:
    assert [parse_bytes(size) for size in ("1GiB", "256MiB", "10KB", 512)] == [2**30, 2**28, 10_000, 512]
    for size in ("", "0", "1TB", True, -5):
        with pytest.raises(DeclarationError):
            parse_bytes(size)

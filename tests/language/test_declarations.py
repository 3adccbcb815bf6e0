"""Events, labels and tables: columns on the class, values on the instance, frozen specs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from pydantic import BaseModel, Field, ValidationError

from stream_ml import Event, Features, Label, Table, fn
from stream_ml.errors import DeclarationError
from stream_ml.language.example import Chargeback, Payment, Shop
from stream_ml.language.expr import Column
from stream_ml.language.fields import data_name, may_be_none, members
from stream_ml.language.kinds import Kind, column_kind
from stream_ml.language.specs import EventSpec, LabelSpec, TableSpec


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Common(BaseModel):
    at: datetime
    source: str = "web"


class Wide(Common, Event, topic="wide", key=("a", "b"), time="at", lateness="0s", ahead="5m"):
    a: str
    b: int
    colour: Colour
    size: Literal["s", "m"] | None = None
    rank: Literal[1, 2, 3]
    kind: Annotated[str, Field(alias="class")]
    price: Annotated[float, Ge(0)] = 1.0
    model_year: int | None = None
    tags: list[str] = []


class Narrow(Wide, topic="narrow", key=None, time="at", lateness="1s"):
    price: float = 2.0
    extra: bool


def a_wide() -> Wide:
    return Wide.model_validate({"a": "x", "b": 1, "colour": "red", "rank": 2, "class": "k", "at": 0, "tags": ["t"]})


def test_columns_on_the_class_values_on_the_instance() -> None:
    column: Any = Wide.price
    assert isinstance(column, Column)
    assert column.args == (Wide, "price")
    record = a_wide()
    assert (record.price, record.kind, record.colour, record.source) == (1.0, "k", Colour.RED, "web")


def test_inheritance() -> None:
    column: Any = Narrow.a
    assert column.args == (Narrow, "a")
    assert list(Narrow.model_fields) == [*Wide.model_fields, "extra"]
    assert Narrow.model_fields["price"].default == 2.0
    assert all(info.is_required() for name, info in Narrow.model_fields.items() if name in ("a", "b", "colour", "at"))
    assert Narrow.__stream__.key == ()
    assert Wide.__stream__.topic == "wide"


def test_specs() -> None:
    assert Wide.__stream__ == EventSpec("wide", None, ("a", "b"), "at", 0, 300_000)
    assert Payment.__stream__ == EventSpec("payments", "payment", ("card",), "at", 30_000, 3_600_000)
    assert Chargeback.__stream__ == LabelSpec(
        Payment, "chargebacks", 604_800_000, None, None, 0, Chargeback.__stream__.silence
    )
    assert dict(Chargeback.__stream__.silence or {}) == {"fraud": False}
    assert Shop.__stream__ == TableSpec("shops", ("shop",), None)
    with pytest.raises(FrozenInstanceError):
        Wide.__stream__.topic = "other"  # type: ignore[misc]
    assert len({Wide.__stream__, Narrow.__stream__}) == 2
    assert hash(Chargeback.__stream__) == hash(Chargeback.__stream__)


def test_label_matches() -> None:
    class All(Label, of=Wide, topic="wide", on=(), wait="1d", delay="1h"):
        a: str
        b: int

    class One(Label, of=Wide, topic="x", on="b", wait="1d", time="at"):
        a: str
        b: int
        at: datetime

    assert (All.__stream__.on, All.__stream__.delay_ms, All.__stream__.silence) == ((), 3_600_000, None)
    assert (One.__stream__.on, One.__stream__.time) == (("b",), "at")


def test_validation_is_pydantics() -> None:
    for wrong in ({"price": -1}, {"price": float("nan")}, {"price": float("inf")}, {"colour": "green"}, {"rank": 9}):
        with pytest.raises(ValidationError):
            Wide.model_validate({**a_wide().model_dump(by_alias=True), **wrong})
    assert "unknown" not in Wide.model_validate({**a_wide().model_dump(by_alias=True), "unknown": 1}).model_dump()


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("a", Kind.TEXT), ("b", Kind.INT), ("colour", Kind.TEXT), ("size", Kind.TEXT), ("rank", Kind.INT),
        ("price", Kind.FLOAT), ("at", Kind.TIME), ("model_year", Kind.INT), ("kind", Kind.TEXT),
    ],
)  # fmt: skip
def test_kinds_of_fields(field: str, kind: Kind) -> None:
    assert column_kind(Wide, field) is kind


def test_what_pydantic_knows() -> None:
    assert members(Wide, "colour") == ("red", "blue")
    assert members(Wide, "size") == ("s", "m")
    assert members(Wide, "a") is None
    assert [name for name in Wide.model_fields if may_be_none(Wide, name)] == ["size", "model_year"]
    assert data_name(Wide, "kind") == "class"


def test_a_list_is_a_field_but_no_column() -> None:
    with pytest.raises(DeclarationError, match=r"Wide\.tags is a list, which is no column"):
        column_kind(Wide, "tags")


def test_hasattr_and_unknown_columns() -> None:
    assert hasattr(Wide, "price")
    assert not hasattr(Wide, "prize")
    assert not hasattr(Wide, "__no_dunder__")
    with pytest.raises(DeclarationError, match=r"Did you mean Wide\.price\?"):
        _ = Wide.prise  # type: ignore[attr-defined]


@pytest.mark.slow
def test_pickle_of_a_record_of_a_loaded_file(tmp_path: Path) -> None:
    """Records of a user's file can be pickled: its module is found again under its name."""
    (tmp_path / "shop.py").write_text(
        "from datetime import datetime\n"
        "from stream_ml import Event, Features, Pipeline, fn\n"
        'class Order(Event, topic="orders", key=None, time="at", lateness="0s"):\n    at: datetime\n    n: int\n'
        "class F(Features, of=Order):\n    n = fn.log1p(Order.n)\n"
        'pipeline = Pipeline("shop", features=F, model=None)\n'
    )
    code = (
        "import pickle, sys; from stream_ml.language.loader import load\n"
        "order = load(sys.argv[1]).event(at=0, n=3)\n"
        "assert pickle.loads(pickle.dumps(order)) == order"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "shop.py")], check=True)


def test_local_classes_with_local_types() -> None:
    class Mood(Enum):
        GOOD = "good"

    class Day(Event, topic="days", key=None, time="at", lateness="0s"):
        at: datetime
        mood: Mood

    assert column_kind(Day, "mood") is Kind.TEXT


def test_table_of_two_keys() -> None:
    class Price(Table, topic="prices", key=("shop", "code")):
        shop: str
        code: int
        price: float

    found: Any = fn.lookup(Price.price, (Payment.shop, Payment.code))
    assert found.args[1:] == (found.args[1], found.args[2])
    assert repr(found) == "fn.lookup(Price.price, (Payment.shop, Payment.code))"
    with pytest.raises(DeclarationError, match="found by 2 fields, the key has 1"):
        fn.lookup(Price.price, Payment.shop)


def test_features_are_named_in_order() -> None:
    class Base(Features, of=Payment, take=(Payment.shop,)):
        n = fn.count(Payment).over("10m", "1d", by=Payment.card)
        _usual = fn.mean(Payment.amount).before("30d", by=Payment.card)
        ratio = Payment.amount / _usual
        day = fn.cyclic(fn.hour(Payment.at), 24)

    class More(Base, of=Payment, take=(Payment.code,)):
        burst = Base.n["10m"] / Base.n["1d"]

    assert list(Base.served) == ["shop", "n_10m", "n_1d", "ratio_30d", "day_sin", "day_cos"]
    assert list(More.served) == [*Base.served, "code", "burst"]
    assert More.of is Payment
    assert all(expr.tails is None for expr in More.served.values())
    with pytest.raises(DeclarationError, match="inherits features of Payment"):

        class Other(Base, of=Wide):
            pass


@pytest.mark.slow
def test_importing_the_package_does_not_import_river() -> None:
    code = "import sys, stream_ml; assert 'river' not in sys.modules, 'river'"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert importlib.util.find_spec("river") is not None

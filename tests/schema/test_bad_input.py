"""Each bad input gets the documented verdict: reason, path, message; and nothing else stops."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, MaxLen
from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_ml.errors import Reason
from stream_ml.schema.decoder import LIMIT, Decoder
from stream_ml.schema.verdict import Bad


class Payment(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")

    payment: str
    card: str | None = None
    amount: Annotated[float, Ge(0)]
    at: datetime
    items: int | None = None
    paid: bool | None = None
    country: Annotated[str, MaxLen(2)] | None = None
    kind: Annotated[Literal["online", "shop"] | None, Field(alias="class")] = None


GOOD = {"payment": "p1", "card": "c1", "amount": 12.5, "at": "2026-01-01T12:00:00.123Z"}
DECODER = Decoder(Payment, tuple(Payment.model_fields), required_present=("payment", "card"))
GOOD_LINE = json.dumps(GOOD).encode()


def changed(**fields: object) -> bytes:
    return json.dumps({**GOOD, **{name.rstrip("_"): value for name, value in fields.items()}}).encode()


def raw(name: str, literal: str) -> bytes:
    rest = {key: value for key, value in GOOD.items() if key != name}
    return (json.dumps(rest)[:-1] + f', "{name}": {literal}}}').encode()


BEYOND = "is beyond ±2^53, where integers are not exact"
TABLE: list[tuple[bytes, Reason, str, str]] = [
    (b"", Reason.EMPTY, "$", "the record is empty"),
    (b" \r\n", Reason.EMPTY, "$", "the record is empty"),
    (b'{"payment": ', Reason.JSON, "$", "not valid JSON: EOF while parsing a value at line 1 column 12"),
    (GOOD_LINE + GOOD_LINE, Reason.JSON, "$",
     f"not valid JSON: trailing characters at line 1 column {len(GOOD_LINE) + 1}"),
    (b'{"payment": "\xff"}', Reason.JSON, "$", "not UTF-8 at byte 13"),
    (GOOD_LINE[:-1] + b', "note": "\xff"}', Reason.JSON, "$", f"not UTF-8 at byte {len(GOOD_LINE) + 10}"),
    (b"[]", Reason.JSON, "$", "expected an object, got an array"),
    (b'"p1"', Reason.JSON, "$", 'expected an object, got "p1"'),
    (b"null", Reason.JSON, "$", "expected an object, got null"),
    (b"{}", Reason.MISSING, "$.payment", "the field is missing (and 2 more)"),
    (b'{"payment": "p1", "amount": 1}', Reason.MISSING, "$.at", "the field is missing"),
    (changed(amount="much"), Reason.TYPE, "$.amount", 'expected a number, got "much"'),
    (changed(amount=None), Reason.TYPE, "$.amount", "expected a number, got null"),
    (changed(amount={"eur": 1}), Reason.TYPE, "$.amount", "expected a number, got an object"),
    (changed(payment=17), Reason.TYPE, "$.payment", "expected text, got 17"),
    (changed(items=1.5), Reason.TYPE, "$.items", "expected an integer, got 1.5"),
    (changed(paid="perhaps"), Reason.TYPE, "$.paid", 'expected true or false, got "perhaps"'),
    (changed(at=True), Reason.TYPE, "$.at", "expected a time, got true"),
    (changed(payment=None), Reason.NULL_KEY, "$.payment", "a key must not be null"),
    (changed(card=None), Reason.NULL_KEY, "$.card", "a key must not be null"),
    (raw("card", '"c1"').replace(b', "card": "c1"', b""), Reason.NULL_KEY, "$.card", "a key must not be null"),
    (raw("amount", "NaN"), Reason.NUMBER, "$.amount", "NaN is not a finite number"),
    (raw("amount", "Infinity"), Reason.NUMBER, "$.amount", "Infinity is not a finite number"),
    (raw("amount", "-Infinity"), Reason.NUMBER, "$.amount", "-Infinity is not a finite number"),
    (raw("amount", "1e999"), Reason.NUMBER, "$.amount", "Infinity is not a finite number"),
    (raw("amount", "9007199254740993"), Reason.NUMBER, "$.amount", f"9007199254740993 {BEYOND}"),
    (raw("items", "9007199254740993"), Reason.NUMBER, "$.items", f"9007199254740993 {BEYOND}"),
    (raw("items", "-9007199254740993"), Reason.NUMBER, "$.items", f"-9007199254740993 {BEYOND}"),
    (raw("items", '"9007199254740993"'), Reason.NUMBER, "$.items", f"9007199254740993 {BEYOND}"),
    (raw("items", "NaN"), Reason.NUMBER, "$.items", "NaN is not a finite number"),
    (raw("at", "NaN"), Reason.NUMBER, "$.at", "NaN is not a finite number"),
    (raw("at", "1e999"), Reason.NUMBER, "$.at", "Infinity is not a finite number"),
    (changed(amount=-1), Reason.CONSTRAINT, "$.amount", "must be ≥ 0, got -1"),
    (changed(country="DEU"), Reason.CONSTRAINT, "$.country", 'must have at most 2 characters, got "DEU"'),
    (changed(class_="other"), Reason.CONSTRAINT, "$.class", "must be one of 'online' or 'shop', got \"other\""),
    (changed(at="yesterday"), Reason.TIME, "$.at", '"yesterday" is not a time: input is too short'),
    (changed(at="2026-02-30T00:00:00Z"), Reason.TIME, "$.at",
     '"2026-02-30T00:00:00Z" is not a time: day value is outside expected range'),
    (changed(at=10**15), Reason.TIME, "$.at",
     "1000000000000000 is not a time: dates after 9999 are not supported as unix timestamps"),
    (changed(at="9999-12-31T23:59:59-01:00"), Reason.TIME, "$.at",
     "9999-12-31T23:59:59-01:00 lies outside the years 1 to 9999 in UTC"),
    (changed(amount=-1, items="x"), Reason.CONSTRAINT, "$.amount", "must be ≥ 0, got -1 (and 1 more)"),
    (changed(payment="x" * LIMIT), Reason.SIZE, "$",
     f"{LIMIT + len(GOOD_LINE) - 2:,} bytes; at most {LIMIT:,} are read"),
]  # fmt: skip


def case(entry: tuple[bytes, Reason, str, str]) -> str:
    return f"{entry[1].value}-{entry[0][:60]!r}"


@pytest.mark.parametrize("entry", TABLE, ids=case)
def test_verdict(entry: tuple[bytes, Reason, str, str]) -> None:
    record, reason, path, message = entry
    assert DECODER.compiled
    columns = DECODER.decode([GOOD_LINE, record, GOOD_LINE])
    assert columns.bad == (Bad(1, reason, path, message),)
    assert columns.rows.tolist() == [0, 2]
    assert columns.texts["payment"] == ["p1", "p1"]
    assert columns.numbers["at"].tolist() == [1767268800123.0] * 2


def test_all_of_them_at_once() -> None:
    batch = [line for entry in TABLE for line in (GOOD_LINE, entry[0])]
    columns = DECODER.decode(batch)
    assert columns.n == len(TABLE)
    assert columns.bad == tuple(Bad(2 * i + 1, *entry[1:]) for i, entry in enumerate(TABLE))


def test_messages_are_one_short_line() -> None:
    columns = DECODER.decode([changed(amount="a\n" * 500), changed(kind=["x"] * 100, at="\n" * 300)])
    for one in columns.bad:
        assert "\n" not in one.message
        assert len(one.message) < 200


def test_a_ten_mebibyte_record_is_read_where_the_limit_allows_it() -> None:
    big = changed(payment="x" * 10 * 2**20)
    columns = Decoder(Payment, ("payment", "amount"), limit=2**24).decode([GOOD_LINE, big])
    assert columns.bad == ()
    assert [len(text or "") for text in columns.texts["payment"]] == [2, 10 * 2**20]


class Checked(BaseModel):
    name: str
    value: float = 0.0

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name == "boom":
            raise KeyError(name)
        if name == "wrong":
            raise ValueError("not this one")  # noqa: EM101
        return name.upper()


def test_validators_of_the_class_are_heard_and_may_raise_anything() -> None:
    decoder = Decoder(Checked, ("name", "value"))
    assert not decoder.compiled
    assert decoder.why == "name: a function-after is checked by pydantic"
    columns = decoder.decode(
        [b'{"name": "a"}', b'{"name": "boom"}', b'{"name": "wrong"}', b'{"name": "b", "value": Infinity}']
    )
    assert columns.texts == {"name": ["A"]}
    assert columns.bad == (
        Bad(1, Reason.CONSTRAINT, "$", "a validator raised KeyError: 'boom'"),
        Bad(2, Reason.CONSTRAINT, "$.name", "Value error, not this one"),
        Bad(3, Reason.NUMBER, "$.value", "inf is not a finite number"),
    )

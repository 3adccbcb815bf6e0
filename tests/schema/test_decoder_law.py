"""The law of the fast decoder: what it accepts, pydantic accepts with equal values."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_ml.schema.decoder import Columns, Decoder
from stream_ml.schema.fast import parse_times
from stream_ml.schema.texts import Texts
from stream_ml.schema.verdict import Bad
from tests.scale import examples


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Wide(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")

    x: float
    share: Annotated[float, Ge(0), Lt(1)] | None = None
    count: int = 3
    small: Annotated[int, Gt(-5), Le(9)] | None = None
    flag: bool | None = None
    text: str | None = None
    short: Annotated[str, MinLen(1), MaxLen(3)] = "ab"
    code: Annotated[str, Field(pattern=r"^[a-c]\d{1,3}$")] | None = None
    move: Annotated[str, Field(alias="class")] = "up"
    side: Side = Side.LEFT
    level: Level | None = None
    colour: Literal["red", "blue"] | None = None
    size: Literal[1, 2, 3] = 2
    at: datetime = datetime(2020, 1, 1, 1, 2, 3, 4567, tzinfo=UTC)
    seen: datetime | None = None


NAMES = tuple(Wide.model_fields)
FAST = Decoder(Wide, NAMES)
SLOW = Decoder(Wide, NAMES)
SLOW._fast = None

TIMES = ["2026-01-01", "2026-01-01T12:00", "2026-02-29T00:00:00Z", "2024-02-29 23:59:59.999999+23:59", 
         "1969-12-31T23:59:59.9996", "2026-01-01T12:00:00.1234567Z", "2026-01-01t12:00:00z", "2026-01-01T24:00:00",
         "0001-01-01T00:00:00+10:00",
         "9999-12-31T23:59:59.999-00:01", "1700000000", "2026-01-01T12:00:00-0130",
         "2026-01-01T12:00\n", "x", ""]  # fmt: skip
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-10, 10).map(str),
    st.integers(-(2**64), 2**64).map(str),
    st.integers(2**53 - 2, 2**53 + 2).map(str),
    st.sampled_from(["1.0", "-0", "-0.0", "1e3", "1e999", "NaN", "-Infinity", "9007199254740993.0", "20000000000",
                     "20000000001", "-20000000000", "-20000000001", "1700000000.123", "1.0000015", "253402300799999",
                     "253402300800000", "01"]),
)  # fmt: skip
times = st.one_of(
    st.sampled_from(TIMES),
    st.datetimes(timezones=st.sampled_from([None, UTC])).map(lambda moment: moment.isoformat()),
)
texts = st.one_of(
    st.sampled_from(["red", "left", "a12", "c1\n", "b٣", "true", "12", "ab", "abcd", "é", "😀😀😀"]),
    times,
    st.text(max_size=5),
)
plain = st.one_of(texts.map(json.dumps), texts.map(lambda text: json.dumps(text, ensure_ascii=False)), numbers)
odd = st.sampled_from(
    ["true", "false", "null", "[]", "{}", '{"x": [1, {"y": "\\ud83d\\ude00"}]}', '"\\ud800"', '"\t"', "", "tru"]
)
values = st.one_of(plain, plain, plain, odd)
names = st.sampled_from([*NAMES, "class", "other", "Class", "\\u0078"])
members = st.tuples(names, values).map(lambda pair: f'"{pair[0]}": {pair[1]}')
objects = st.lists(members, max_size=4).map(lambda parts: "{" + ", ".join(['"x": 1.5', *parts]) + "}")
records = st.one_of(
    objects,
    objects,
    objects,
    st.sampled_from(["", " ", "null", "[]", '{"x":1}{"x":2}', '{"x":1} {"x":2}\n', '{"x":\n1}', "{", "\ufeff{}"]),
)


def same(a: Columns, b: Columns) -> None:
    assert a.rows.tolist() == b.rows.tolist()
    assert a.bad == b.bad
    assert a.texts == b.texts
    assert a.numbers.keys() == b.numbers.keys()
    for name, column in a.numbers.items():
        assert column.dtype == np.float64
        assert column.tobytes() == b.numbers[name].tobytes(), name


def written(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(records.map(written), max_size=6))
@example([b'{"x":1} {"x":2}', b"", b'{"x":3}'])
@example([b'{"x":1}\n{"x":2}', b'{"x":3}'])
@example([b'{"x": 1, "other": "\xff"}'])
@example([b'{"x": 1, "\xff": 2}'])
@example([b'{"x": 1, "other": ' + b"[" * 201 + b"]" * 201 + b"}"])
@example([b'{"x": 1, "other": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}"] * 3)
@example([b'{"x": 1, "other": ' + b"1" * 4301 + b"}"])
@example([b'{"x": 1, "other": ' + b"1" * 4300 + b"}"])
@example([b'{"x": 9007199254740993}', b'{"x": 9007199254740993.0}', b'{"x": 1e300}', b'{"x": 1' + b"0" * 400 + b"}"])
def test_fast_and_pydantic_agree(batch: list[bytes]) -> None:
    assert FAST.compiled
    same(FAST.decode(batch), SLOW.decode(batch))


@settings(max_examples=examples(400), deadline=None)
@given(objects.map(written))
def test_pydantic_accepts_what_the_struct_accepts_with_equal_values(record: bytes) -> None:
    quick = FAST._fast
    assert quick is not None
    (struct,), refused = quick.structs([record], 1 << 20)
    if refused:
        return
    raw_times = {name: quick.column(name, [struct]) for name in quick.times}
    if any(math.isnan(parse_times(raw)[0]) and raw != [None] for raw in raw_times.values()):
        return
    accepted = Wide.model_validate_json(record)
    for name in NAMES:
        expected: Any = getattr(accepted, name)
        expected = expected.value if isinstance(expected, Enum) else expected
        if isinstance(expected, datetime):
            aware = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
            assert parse_times(raw_times[name])[0] == (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
                milliseconds=1
            )
        else:
            given_value = quick.column(name, [struct])[0]
            assert given_value == expected
            assert type(given_value) is type(expected) or name in ("x", "share")


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(objects.map(written), min_size=1, max_size=8), st.integers(0, 8))
def test_how_a_batch_is_cut_is_invisible(batch: list[bytes], cut: int) -> None:
    whole, head, tail = FAST.decode(batch), FAST.decode(batch[:cut]), FAST.decode(batch[cut:])
    moved = tuple(Bad(one.index + len(batch[:cut]), one.reason, one.path, one.message) for one in tail.bad)
    numbers_joined = {name: np.concatenate([head.numbers[name], tail.numbers[name]]) for name in whole.numbers}
    texts_joined = {name: [*head.texts[name], *tail.texts[name]] for name in whole.texts}
    rows = np.concatenate([head.rows, tail.rows + len(batch[:cut])])
    same(whole, Columns(head.n + tail.n, rows, numbers_joined, Texts(texts_joined), (*head.bad, *moved)))


class Moment(BaseModel):
    at: datetime


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(
    st.floats(0, 3e10), st.floats(-1e15, 1e15),
    st.integers(-(10**14), 10**15), st.decimals(0, 10**10, places=6).map(float)
))  # fmt: skip
@example(1.0009996)
@example(1.9999999)
@example(-20000000001)
def test_numeric_times_are_read_as_pydantic_reads_them(value: float) -> None:
    ms = parse_times([value])[0]
    if math.isnan(ms):
        return
    moment = Moment.model_validate_json(json.dumps({"at": value})).at
    assert ms == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@pytest.mark.parametrize("text", TIMES)
def test_written_times_are_read_as_pydantic_reads_them(text: str) -> None:
    ms = parse_times([text, "2026-01-01T00:00:00Z"])
    if "\n" not in text:
        assert ms[1] == 1767225600000
    try:
        moment = Moment.model_validate_json(json.dumps({"at": text})).at
    except ValidationError:
        assert math.isnan(ms[0])
        return
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    expected = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert math.isnan(ms[0]) or ms[0] == expected

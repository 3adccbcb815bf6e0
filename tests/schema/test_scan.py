"""The law of the scan: what it reads, the struct and pydantic accept with equal values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from stream_ml.schema.decoder import LIMIT, Decoder
from stream_ml.schema.lines import Lines, joined
from stream_ml.schema.scan import LEAST, Scan
from stream_ml.schema.texts import Texts
from tests.scale import examples
from tests.schema.test_decoder_law import numbers, same, texts, times, written


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


class Narrow(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")

    x: float
    share: Annotated[float, Ge(0), Lt(1)] | None = None
    count: int = 3
    small: Annotated[int, Gt(-5), Le(9)] | None = None
    flag: bool | None = None
    text: str | None = None
    move: Annotated[str | None, Field(alias="clàss")] = None
    side: Side | None = None
    size: Literal[1, 2, 3] = 2
    seen: datetime | None = None
    price: float = 0.5


NAMES = tuple(Narrow.model_fields)
FAST, SLOW = Decoder(Narrow, NAMES, ("text",)), Decoder(Narrow, NAMES, ("text",))
SLOW._fast = None

members_of: dict[str, st.SearchStrategy[str]] = {
    "x": numbers, "share": st.floats(0, 1).map(repr), "count": st.integers(-(2**54), 2**54).map(str),
    "small": st.integers(-6, 10).map(str), "flag": st.sampled_from(["true", "false", "null", "True", "tru"]),
    "text": texts.map(json.dumps), "clàss": texts.map(lambda text: json.dumps(text, ensure_ascii=False)),
    "side": st.sampled_from(['"left"', '"right"', '"up"', "null"]), "size": st.sampled_from(["1", "3", "4", "1.0"]),
    "seen": st.one_of(times.map(json.dumps), numbers), "price": numbers, "other": numbers,
    "\\u0078": numbers, "xx": st.sampled_from(["[]", "{}", '"\\n"', '"\x01"', "nul", "-", "1.", ".5", "1e", "+1", ""]),
}  # fmt: skip
member = st.sampled_from(sorted(members_of)).flatmap(
    lambda name: members_of[name].map(lambda value: f'"{name}"{value and ":"} {value}')
)
ends = st.sampled_from(["}", " }\r", "}\n", "} ", "}}", "", "},", "}x"])
records = st.tuples(st.lists(member, max_size=5), ends).map(
    lambda made: "{" + " , ".join(['"x" : 1.5', '"text":"t"', *made[0]]) + made[1]
)
plain = st.lists(member, max_size=4).map(lambda made: "{" + ",".join(['"text":"t","x":2', *made]) + "}")


def scan() -> Scan:
    assert FAST._fast is not None
    assert FAST._fast.scan is not None
    return FAST._fast.scan


def all_sure(batch: list[bytes], limit: int = LIMIT) -> bool:
    found = scan().read(batch, limit)
    return found is not None and bool(found.sure.all())


@settings(max_examples=examples(1000), deadline=None)
@given(st.one_of(plain, records).map(written))
@example(b'{"x": 1, "text": "a", "x": 2}')
@example(b'{"x": 1, "text": "a", "other": "\xff"}')
@example(b'{"x": 1, "text": "a", "other": 01}')
@example(b'{"x": -0, "text": "a"}')
@example(b'{"x": -0.0, "text": "a", "price": -0e5}')
@example(b'{"x": 1e22, "text": "a"}')
@example(b'{"x": 9007199254740993, "text": "a", "price": 9007199254740993e-1}')
@example(b'{"x": 0.30000000000000004, "text": "a", "price": 123456789012345678901234567890e-25}')
@example(b'{"x": 1, "text": null}')
@example(b'{"x": 1}')
@example(b'{"x": 1, "text": "a", "other": ' + b"1" * 4301 + b"}")
@example(b"")
def test_what_the_scan_reads_pydantic_accepts_with_equal_values(record: bytes) -> None:
    found = scan().read([record], LIMIT)
    if found is None or not found.sure[0]:
        return
    columns = SLOW.decode([record])
    assert columns.bad == ()
    assert {name: found.texts[name] for name in columns.texts} == dict(columns.texts)
    for name, column in columns.numbers.items():
        assert found.numbers[name].tobytes() == column.tobytes(), name


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.one_of(plain, plain, plain, records).map(written), min_size=1, max_size=8))
def test_batches_are_decoded_alike_with_and_without_a_scan(batch: list[bytes]) -> None:
    many = batch + [b'{"x":1,"text":"t"}'] * LEAST + batch
    same(FAST.decode(many), SLOW.decode(many))
    same(FAST.decode(Lines.of(many)), SLOW.decode(many))
    same(FAST.decode(batch * LEAST), SLOW.decode(batch * LEAST))


def test_plain_records_are_scanned() -> None:
    rows = [
        {"x": i / 7, "share": None, "text": f"té{i}", "flag": i % 2 == 0, "side": "left", "seen": 1_700_000_000 + i,
         "small": -4, "price": 1e-7 * i, "other": "…", "clàss": None if i % 3 else "c"}
        for i in range(LEAST)
    ]  # fmt: skip
    batch = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    assert all_sure(batch)
    same(FAST.decode(batch), SLOW.decode(batch))
    assert FAST.decode(batch).texts["move"][:4] == ["c", None, None, "c"]
    moments = [datetime.fromtimestamp(i / 8, UTC).isoformat() for i in range(LEAST)]
    batch = [json.dumps({"x": 1, "text": "t", "seen": one}).encode() for one in moments[:-1]]
    batch.append(b'{"text":"","x":-2.5e-3,"seen":-1700000000}')
    assert all_sure(batch)
    same(FAST.decode(batch), SLOW.decode(batch))


class Short(BaseModel):
    name: Annotated[str, MaxLen(3)]


class Code(BaseModel):
    name: Annotated[str, Field(pattern="^a")]


@pytest.mark.parametrize("model", [Short, Code])
def test_a_class_whose_texts_are_checked_is_not_scanned(model: type[BaseModel]) -> None:
    checked = Decoder(model, ("name",))
    assert checked._fast is not None
    assert checked._fast.scan is None


def test_a_record_beyond_the_limit_is_not_scanned() -> None:
    record = b'{"x":1,"text":"' + b"t" * 100 + b'"}'
    assert all_sure([record])
    assert not all_sure([record], len(record) - 1)


def test_lines_are_cut_picked_and_joined_as_lists_are() -> None:
    values = [b"a", b"", b"ccc", b"dd", b"\xff"]
    lines, order = Lines.split(b"\n".join(values)), np.array([3, 0, 4])
    assert lines == values == Lines.of(values)
    assert lines[1:4] == values[1:4]
    assert lines[5:] == []
    assert lines.take(order) == [b"dd", b"a", b"\xff"]
    assert lines.take(order)[1:] == [b"a", b"\xff"]
    assert joined([lines[2:], lines.take(order)]) == [*values[2:], b"dd", b"a", b"\xff"]
    assert joined([lines, values]) == values * 2
    assert Lines.split(b"") == [b""]


def test_texts_are_read_from_their_places() -> None:
    block = np.frombuffer(bytearray('"a""é"""'.encode()), np.uint8)
    places = np.array([[4, 2, 0], [0, -1, 0], [8, 0, 0], [1, 1, 0]])
    columns = Texts({}, block, {"name": places})
    raw, ends = columns.utf8("name")
    assert columns["name"] == ["é", None, "", "a"]
    assert (raw.tobytes(), ends.tolist()) == ("éa".encode(), [2, -3, 2, 3])

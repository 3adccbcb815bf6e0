"""Columns taken from Arrow are those of the same rows as JSON, whatever types they have and whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from annotated_types import Ge, Le
from pydantic import BaseModel

from stream_ml.schema import fields
from stream_ml.schema.arrow import ArrowRows, moments, read
from stream_ml.schema.decoder import LIMIT, Columns, Decoder
from stream_ml.schema.fields import EXACT
from stream_ml.schema.lines import Lines, Mixed, joined, taken

N = 300
RANDOM = np.random.default_rng(5)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Sale(BaseModel):
    sale: str
    price: Annotated[float, Ge(0), Le(1000)]
    items: int | None = None
    gift: bool = False
    at: datetime
    size: Size | None = None
    kind: Literal["new", "used"] = "new"


NAMES = tuple(Sale.model_fields)


def some(values: list[Any], *, every: int = 7) -> list[Any]:
    """Return a column of these values, each `every`-th of the first ones one of them, the rest the first."""
    return [values[i // every % len(values)] if i % every == 0 else values[0] for i in range(N)]


def stamps(unit: str, zone: str | None) -> Any:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [int(1.7e9 * per_second) + 7919 * i for i in range(N)]
    counts[3], counts[5] = 0, -1
    return pa.array([None if i % 50 == 49 else one for i, one in enumerate(counts)], pa.timestamp(unit, zone))


GOOD: dict[str, Any] = {
    "sale": pa.array([f"s{i}é\"" for i in range(N)]),
    "price": pa.array(RANDOM.random(N)),
    "items": pa.array(some([3, None, -(2**53), 2**53])),
    "gift": pa.array(some([True, False])),
    "at": pa.array([1_700_000_000_000 + i for i in range(N)], pa.timestamp("ms", "UTC")),
    "size": pa.array(some(["small", "large", None])),
    "kind": pa.array(some(["new", "used"])),
}
COLUMNS: dict[str, list[Any]] = {
    "sale": [
        GOOD["sale"].dictionary_encode(), GOOD["sale"].cast(pa.large_string()), pa.array(some(["a", None, ""])),
        pa.array(some(["a", None, "b"])).dictionary_encode(), pa.array(range(N)), pa.array([None] * N),
        pa.DictionaryArray.from_arrays(pa.array([i % 3 for i in range(N)]), pa.array(["x", None, "y"])),
    ],
    "price": [
        pa.array(RANDOM.random(N).astype(np.float32)), pa.array(range(N), pa.uint8(), safe=False) if N < 256 else
        pa.array([i % 200 for i in range(N)], pa.uint8()), pa.array([i - 3 for i in range(N)], pa.int16()),
        pa.array(some([1.0, None, float("nan"), float("inf"), -1.0, 1e300, -0.0])), pa.array(some(["1.5", "x"])),
        pa.array(some([True, False])), pa.array(some([EXACT + 1, -EXACT - 1, 5]), pa.int64()),
        pa.array(some([2**63 + 5, 5]), pa.uint64()),
    ],
    "items": [
        pa.array(some([4.0, 4.5, float("nan"), None])), pa.array(some([2**53 + 1, 2**60, -(2**53) - 1, 7])),
        pa.array(some([2**63 + 5, 7]), pa.uint64()), pa.array([None] * N), pa.array(some(["3", "many"])),
    ],
    "gift": [pa.array(some([True, None])), pa.array(some([0, 1, 2])), pa.array(some(["true", "no"]))],
    "at": [
        *(stamps(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ("UTC", None)),
        pa.array(some([1_700_000_000, 1_700_000_000_000, 10**16, -5])),
        pa.array(some(["2024-01-01T00:00:00Z", "soon"])),
        pa.array(some([1.7e9, 1.7e12 + 0.5])), pa.array(some([2**62, -(2**62), 1_700_000_000]), pa.timestamp("s")),
        pa.array([datetime(2024, 1, 1, tzinfo=UTC).date()] * N),
    ],
    "size": [pa.array(some(["small", "huge", "large"])), pa.array(some(["small", None, "huge"])).dictionary_encode()],
    "kind": [pa.array(some(["new", None, "old"])), pa.array(some(["new", "used"])).dictionary_encode()],
}  # fmt: skip


def rows(columns: dict[str, Any]) -> ArrowRows:
    batch = pa.RecordBatch.from_pydict(columns)
    return ArrowRows(batch, fields.read(Sale), {name: name for name in columns})


def same(one: Columns, other: Columns) -> None:
    assert one.rows.tolist() == other.rows.tolist()
    assert one.bad == other.bad
    for name, column in other.numbers.items():
        assert one.numbers[name].tobytes() == column.tobytes(), name
    for name in other.texts:
        assert list(one.texts[name]) == list(other.texts[name]), name


def decoder() -> Decoder:
    return Decoder(Sale, NAMES, ("sale",))


@pytest.mark.parametrize(("name", "column"), [(name, one) for name, many in COLUMNS.items() for one in many])
def test_columns_are_those_of_the_same_rows_as_json(name: str, column: Any) -> None:
    found = rows({**GOOD, name: column})
    same(decoder().decode(found), decoder().decode(list(found)))


@pytest.mark.parametrize("left_out", ["items", "gift", "size", "kind"])
def test_a_column_that_is_not_there_is_the_default(left_out: str) -> None:
    found = rows({name: column for name, column in GOOD.items() if name != left_out})
    same(decoder().decode(found), decoder().decode(list(found)))


def test_good_rows_make_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ArrowRows, "__iter__", refuse)
    assert decoder().decode(rows(GOOD)).n == N
    assert decoder().decode(rows({**GOOD, "sale": COLUMNS["sale"][0]})).n == N


def codes(name: str, column: Any) -> list[float]:
    known: dict[bytes, float] = {}

    def intern(raw: Any, ends: Any) -> Any:
        begins = [0, *(int(end) if end >= 0 else -1 - int(end) for end in ends[:-1])]
        return np.array([
            np.nan if end < 0 else known.setdefault(bytes(raw[begin:end]), len(known))
            for begin, end in zip(begins, ends.tolist(), strict=True)
        ], np.float64)  # fmt: skip

    fast = decoder()._fast
    assert fast is not None
    assert fast.scan is not None
    found = read(fast.scan, rows({**GOOD, name: column}), LIMIT)
    assert found is not None
    numbers = found.texts.codes(name, intern)
    texts = {code: text.decode() for text, code in known.items()}
    return [texts.get(code) for code in numbers.tolist()]  # type: ignore[misc]


@pytest.mark.parametrize(
    "make", [lambda one: one, lambda one: one.dictionary_encode(), lambda one: one.cast(pa.large_string())]
)
def test_texts_are_interned_from_bytes(make: Callable[[Any], Any]) -> None:
    column = pa.array(some(["small", "large", None]))
    assert codes("size", make(column)) == column.to_pylist()
    twice = pa.concat_arrays([column, column])
    assert codes("size", make(twice).slice(N - 4, N)) == twice.slice(N - 4, N).to_pylist()


def test_rows_are_cut_picked_and_joined_as_their_json_is() -> None:
    whole = rows(GOOD)
    lines = list(whole)
    assert whole[7] == lines[7] and whole[-1] == lines[-1]  # noqa: PT018
    assert whole[5:9] == lines[5:9] and whole[::50] == lines[::50]  # noqa: PT018
    at = np.array([4, 2, 9])
    assert whole.take(at) == [lines[i] for i in at.tolist()]
    assert isinstance(joined([whole[:5], whole[7:9]]), ArrowRows)
    assert joined([whole[:5], whole[7:9]]) == lines[:5] + lines[7:9]
    other = Lines.of([b'{"a":1}', b'{"a":2}'])
    mixed = joined([whole[:3], other, whole[3:5]])
    assert isinstance(mixed, Mixed)
    assert mixed == [*lines[:3], b'{"a":1}', b'{"a":2}', *lines[3:5]]
    assert isinstance(taken(mixed, np.array([0, 5, 6])), ArrowRows)
    assert taken(mixed, np.array([6, 0, 5])) == [lines[4], lines[0], lines[3]]
    assert taken(mixed, np.array([4, 1])) == [b'{"a":2}', lines[1]]


def test_received_times_are_whole_milliseconds() -> None:
    found, rest = moments(pa.array([1_700_000_000_123_456, None, -1], pa.timestamp("us")))
    assert found[[0, 2]].tolist() == [1_700_000_000_123.0, -1.0]
    assert np.isnan(found[1])
    assert rest == {1: None}
    found, rest = moments(pa.array(["2024-01-01T00:00:00Z"]))
    assert np.isnan(found).all()
    assert rest == {0: "2024-01-01T00:00:00Z"}

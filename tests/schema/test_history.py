"""Files of history: every row is delivered or told of, in order, in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from stream_ml.errors import InputError, Reason, UsageError
from stream_ml.schema import blocks, rows
from stream_ml.schema.decoder import Columns, Decoder
from stream_ml.schema.history import Batch, read
from stream_ml.schema.verdict import Bad
from tests.scale import examples


class Sale(BaseModel):
    sale: str
    price: float
    items: int = 1
    move: Annotated[str | None, Field(alias="class")] = None
    gift: bool | None = None
    at: datetime


def write(path: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def whole(path: Path, model: type[BaseModel] = Sale, received: str | None = None) -> Batch:
    """Join all batches of a file, as a reader of one batch would see them."""
    parts = list(read(path, model, received))
    firsts = np.cumsum([0, *(len(part.values) for part in parts)])
    assert [part.first_row for part in parts] == firsts[:-1].tolist()
    bad = [Bad(one.index + part.first_row, one.reason, one.path, one.message) for part in parts for one in part.bad]
    values = [value for part in parts for value in part.values]
    moments = [part.received for part in parts if part.received is not None]
    assert len(moments) in (0, len(parts))
    return Batch(0, values, np.concatenate(moments) if moments else None, tuple(bad))


def decoded(batch: Batch, model: type[BaseModel] = Sale) -> Columns:
    damaged = {one.index for one in batch.bad}
    return Decoder(model, model.model_fields).decode([v for i, v in enumerate(batch.values) if i not in damaged])


HEAD = "sale,price,items,class,gift,at\n"


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_becomes_typed_records(tmp_path: Path, suffix: str) -> None:
    text = HEAD + "s1,12.50,2,up,true,2026-01-01T00:00:00Z\r\n007,1e3,3.0,,0,1767225600\n,NA,,NA,NA,2026-01-01\n"
    batch = whole(write(tmp_path / f"a{suffix}", text))
    assert batch.values == [
        b'{"sale":"s1","price":12.50,"items":2,"class":"up","gift":true,"at":"2026-01-01T00:00:00Z"}',
        b'{"sale":"007","price":1e3,"items":3,"class":null,"gift":false,"at":1767225600}',
        b'{"sale":"","price":null,"items":1,"class":"NA","gift":null,"at":"2026-01-01"}',
    ]
    assert (batch.bad, batch.received) == ((), None)
    columns = decoded(batch)
    assert columns.numbers["price"].tolist() == [12.5, 1000]
    assert columns.bad == (Bad(2, Reason.TYPE, "$.price", "expected a number, got null"),)


def test_names_extra_columns_and_a_byte_order_mark(tmp_path: Path) -> None:
    batch = whole(write(tmp_path / "a.csv", "\ufeffmove,else,at,price,sale\nup,x,2026-01-01,1,s1\n"))
    assert batch.values == [b'{"sale":"s1","price":1,"class":"up","at":"2026-01-01"}']


def test_what_is_no_number_is_left_to_the_decoder(tmp_path: Path) -> None:
    columns = decoded(whole(write(tmp_path / "a.csv", HEAD + "s,NaN,01,u,yes,0\ns,1_0,x,u,,0\ns,+.5,2.50,u,,0\n")))
    assert [(one.index, one.reason, one.path) for one in columns.bad] == [
        (0, Reason.NUMBER, "$.price"), (1, Reason.TYPE, "$.items"), (2, Reason.TYPE, "$.items"),
    ]  # fmt: skip


def test_damaged_rows_are_told_of_and_nothing_else_stops(tmp_path: Path) -> None:
    text = HEAD + 's1,1,1,u,,0\ns2,2\ns3,3,1,"u,,0\ns4,4,1,u,,0\ns5,5,1,"u"x,,0\ns6,6,1,u,,0,7\n\ns7,7,1,"a\nb",,0\n'
    batch = whole(write(tmp_path / "a.csv", text.encode() + b"s8,8,1,\xff,,0\ns9,9,1,u,,0\n"))
    assert [(one.index, one.reason, one.path, one.message) for one in batch.bad] == [
        (1, Reason.ROW, "$", "row 2: 2 cells where the header has 6"),
        (2, Reason.ROW, "$", "row 3: a quote is not closed"),
        (4, Reason.ROW, "$", "row 5: ',' expected after '\"'"),
        (5, Reason.ROW, "$", "row 6: 7 cells where the header has 6"),
        (7, Reason.ROW, "$", "row 8: not UTF-8 at byte 7"),
    ]
    assert [batch.values[one.index] for one in batch.bad] == [
        b"s2,2", b's3,3,1,"u,,0', b's5,5,1,"u"x,,0', b"s6,6,1,u,,0,7", b"s8,8,1,\xff,,0",
    ]  # fmt: skip
    columns = decoded(batch)
    assert columns.texts["sale"] == ["s1", "s4", "s7", "s9"]
    assert columns.texts["move"] == ["u", "u", "a\nb", "u"]


class Text(BaseModel):
    text: str
    other: str | None = None


cell = st.text(st.sampled_from("ab\",\n\r \té😀\\'%"), max_size=8)


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(cell, cell), max_size=12),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.integers(1, 40),
)
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path: Path, cells: list[tuple[str, str]], quoting: Any, block: int
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting)
    writer.writerows([("text", "other"), *cells])
    path = write(tmp_path / "a.csv", file.getvalue())
    before = blocks.BLOCK
    try:
        blocks.BLOCK = block
        batch = whole(path, Text)
    finally:
        blocks.BLOCK = before
    assert batch.bad == ()
    columns = decoded(batch, Text)
    assert columns.texts["text"] == [text for text, _ in cells]
    assert columns.texts["other"] == [other or None for _, other in cells]


def test_an_open_quote_costs_its_own_row_only() -> None:
    many = [b'1,"x', *(b"%d,y" % i for i in range(2, 400))]
    found = rows.parse(many, 2, final=False)
    assert found.damaged == {0: (b'1,"x', "a quote is not closed")}
    assert (len(found.cells), found.rest) == (399, [])


def ndjson(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl", ".json", ".ndjson.gz"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_ndjson_lines_are_the_records(tmp_path: Path, suffix: str, end: str) -> None:
    lines = [json.dumps({"sale": f"é{i}", "price": i}) for i in range(50_000)]
    batch = whole(write(tmp_path / f"a{suffix}", "\n".join(lines) + end))
    assert batch.values == [line.encode() for line in lines]
    assert (batch.bad, batch.received) == ((), None)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=9),
    st.integers(1, 12),
    st.booleans(),
)
def test_lines_do_not_depend_on_blocks(tmp_path: Path, lines: list[bytes], block: int, packed: bool) -> None:
    assume(packed or not b"".join(lines[:1]).startswith(blocks.GZIP))  # a plain file that begins so is taken for gzip
    path = write(tmp_path / ("a.ndjson.gz" if packed else "a.ndjson"), b"".join(line + b"\n" for line in lines))
    before = blocks.BLOCK
    try:
        blocks.BLOCK = block
        found = [line for part in blocks.lines(path) for line in part]
    finally:
        blocks.BLOCK = before
    assert [line.removeprefix(blocks.MARK) for line in found[:1]] + found[1:] == [
        line.removeprefix(blocks.MARK) for line in lines[:1]
    ] + lines[1:]


def test_received_is_read_where_it_is(tmp_path: Path) -> None:
    records = [
        {"received": 5},
        {"received": "2026-01-01T00:00:00.5Z"},
        {"received": None},
        {"x": 1},
        {"received": 1e12},
    ]
    path = write(tmp_path / "a.ndjson", ndjson(records) + "{\n")
    batch = whole(path)
    assert batch.received is not None
    assert batch.received.tolist() == [5, 1767225600500, 1767225600500, 1767225600500, 10**12, 10**12]
    assert batch.bad == tuple(Bad(i, Reason.TIME, "$.received", "no received time") for i in (2, 3))
    named = whole(write(tmp_path / "b.ndjson", ndjson([{"received": 1, "seen": 7.9}])), received="seen")
    assert named.received is not None
    assert named.received.tolist() == [7]


def test_received_of_csv_and_parquet(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "text,received,seen\na,1767225600000,2026-01-01 00:00\nb,x,\nc\nd,5,2026-01-01T01:00:00+0100\n",
    )
    batch = whole(path, Text)
    assert batch.received is not None
    assert batch.received.tolist() == [1767225600000] * 3 + [5]
    assert [(one.index, one.reason) for one in batch.bad] == [(1, Reason.TIME), (2, Reason.ROW)]
    assert batch.bad[0].message == "'x' is no received time"
    named = whole(path, Text, "seen")
    assert named.received is not None
    assert named.received.tolist() == [1767225600000] * 4
    table = pa.table({"text": ["a", "b"], "received": pa.array([1, 2_000_001], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "a.parquet")
    columnar = whole(tmp_path / "a.parquet", Text)
    assert columnar.received is not None
    assert columnar.received.tolist() == [0, 2000]


def test_parquet_becomes_typed_records(tmp_path: Path) -> None:
    table = pa.table({
        "sale": pa.array(["s1", 'a"b', "c"]).dictionary_encode(),
        "price": pa.array([0.1, 1e300, float("nan")]),
        "items": pa.array([1, None, 2**60]),
        "class": pa.array(["é", None, ""]),
        "gift": pa.array([True, None, False]),
        "at": pa.array([0, -1, 1767225600_000_999], pa.timestamp("us", tz="Europe/Berlin")),
        "more": [[1], [2], [3]],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    batch = whole(tmp_path / "a.parquet")
    assert batch.values == [
        '{"sale":"s1","price":0.1,"items":1,"class":"é","gift":true,"at":"1970-01-01T00:00:00.000Z"}'.encode(),
        b'{"sale":"a\\"b","price":1e+300,"items":1,"class":null,"gift":null,"at":"1969-12-31T23:59:59.999Z"}',
        f'{{"sale":"c","price":NaN,"items":{2**60},"class":"","gift":false,"at":1767225600000}}'.encode(),
    ]
    columns = decoded(batch)
    assert columns.numbers["at"].tolist() == [0, -1]
    assert [(one.index, one.path) for one in columns.bad] == [(2, "$.price")]


def test_parquet_and_csv_say_the_same(tmp_path: Path) -> None:
    n = 20_000
    draw = np.random.default_rng(3)
    prices, items = draw.normal(size=n), draw.integers(0, 9, size=n)
    at = [datetime(2026, 1, 1, i // 3600 % 24, i // 60 % 60, i % 60, tzinfo=UTC) for i in range(n)]
    sales = [f"s{i}" for i in range(n)]
    pq.write_table(pa.table({"sale": sales, "price": prices, "items": items, "at": at}), tmp_path / "a.parquet")
    lines = [f"{s},{float(p)!r},{i},{t.isoformat()}" for s, p, i, t in zip(sales, prices, items, at, strict=True)]
    write(tmp_path / "a.csv.gz", "sale,price,items,at\n" + "\n".join(lines))
    a, b = decoded(whole(tmp_path / "a.parquet")), decoded(whole(tmp_path / "a.csv.gz"))
    assert a.n == b.n == n
    assert a.texts == b.texts
    for name, column in a.numbers.items():
        assert column.tobytes() == b.numbers[name].tobytes(), name


def refused(path: Path, received: str | None = None) -> tuple[str, int]:
    delivered = 0
    with pytest.raises(InputError) as caught:  # noqa: PT012  (what came before the error counts)
        for batch in read(path, Sale, received):
            delivered += len(batch.values)
    assert "\n" not in str(caught.value)
    return str(caught.value), delivered


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "no.ndjson"
    assert refused(missing) == (f"{missing} does not exist. Check the name and the folder", 0)
    assert (
        refused(tmp_path / "no.parquet")[0]
        == f"{tmp_path / 'no.parquet'} does not exist. Check the name and the folder"
    )
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert refused(folder) == (f"{folder} is a folder. Name a file in it", 0)
    lacking = write(tmp_path / "a.csv", "sale,at\n")
    assert (
        refused(lacking)[0]
        == f"{lacking} has no column price. It has sale, at; give the field a default if it may be absent"
    )
    twice = write(tmp_path / "b.csv", "sale,price,at,price\n")
    assert refused(twice)[0] == f"{twice} has 2 columns price. Rename all but one"
    empty = write(tmp_path / "c.csv", "")
    assert refused(empty)[0] == f"{empty} is empty. A CSV file begins with a line that names its columns"
    whose = write(tmp_path / "d.ndjson", '{"sale": "a"}\n')
    assert refused(whose, "seen")[0].startswith(f"{whose} has no field seen to take the received time from")
    broken = write(tmp_path / "e.parquet", b"PAR1 and no more")
    assert refused(broken)[0].startswith(f"{broken} is no readable Parquet file: ")


def test_an_empty_ndjson_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read(write(tmp_path / "a.ndjson", ""), Sale)) == []


def test_rows_before_the_damage_of_a_gzip_file_are_delivered(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    lines = "".join(f'{{"sale": "{x}"}}\n' for x in draw.integers(0, 2**62, size=200_000))
    path = write(tmp_path / "a.ndjson.gz", lines)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    said, delivered = refused(path)
    assert said == f"{path} ends in the middle of its gzip data. Copy it again; the rows before the end were read"
    assert 80_000 < delivered < 120_000
    spoilt = bytearray(data)
    spoilt[-6] ^= 0xFF
    path.write_bytes(spoilt)
    said, delivered = refused(path)
    assert said.startswith(f"{path} is damaged: ")
    assert 199_900 < delivered <= 200_000


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(gzip.compress(b"1\n2\n", mtime=0) + gzip.compress(b"3\n", mtime=0) + b"\0" * 512)
    assert whole(path).values == [b"1", b"2", b"3"]


def test_unknown_formats_and_missing_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"a\.xlsx is in no known format. Known are NDJSON"):
        read(tmp_path / "a.xlsx", Sale)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as caught:
        list(read(tmp_path / "a.parquet", Sale))
    assert str(caught.value) == "Parquet needs pyarrow. Install it: pip install 'stream-ml[history]'"

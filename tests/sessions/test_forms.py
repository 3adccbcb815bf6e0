"""Lines written by columns are byte for byte what encoding each record by itself gives."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_ml.schema.symbols import Symbols
from stream_ml.sessions.forms import FATES, Form, Hole, Sheet
from tests.scale import examples

EDGES = st.sampled_from([10**k - d for k in range(16) for d in (0, 1)])
WHOLE = st.integers(-(2**53), 2**53) | st.integers(-1000, 1000) | EDGES
ODD = st.sampled_from(['"', "\\", "\x00\x1f\x7f", "é", "a,b]", ""])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | ODD
FLOAT = st.floats() | st.integers(-(10**17), 10**17).map(float) | st.sampled_from([1e15, 1e16, 1.5e-7, 1e-5, -0.0])
WORD = st.integers(-(2**63) + 1, 2**63 - 1)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.none() | WHOLE,
    "time": st.none() | WHOLE,
    "category": st.none() | WHOLE,
    "bool": st.none() | st.booleans(),
    "text": st.none() | TEXT,
    "float": FLOAT,
    "word": WORD,
    "fate": st.integers(0, 2),
    "json": st.dictionaries(TEXT, FLOAT, max_size=3) | st.none(),
}
IN_SLOTS = {"int", "time", "category", "bool", "text", "float"}
Cells = list[Any]


def plain(kind: str, value: Any, before: str | None) -> Any:
    """Return what a record holds where a column holds `value`."""
    if kind == "fate":
        return FATES[value]
    if kind == "category":
        return None if value is None else str(value)
    return value if before is None else f"{before}{value}"


def column(kind: str, cells: Cells, symbols: Symbols) -> Any:
    """Return the cells as the engine holds them."""
    if kind == "json":
        return cells
    if kind in {"word", "fate", "late"}:
        return np.array(cells, np.int64)
    if kind == "text":
        return symbols.code(cells)
    return np.array([np.nan if cell is None else float(cell) for cell in cells])


def written(members: list[tuple[str, Any]], holes: list[tuple[Hole, Cells]], n: int, turns: int = 1) -> bytes:
    """Return the lines of a form whose holes stand in slots or are given, as they say; rows in turned order."""
    symbols, sheet = Symbols(), Sheet()
    slots = np.random.default_rng(n).permutation(n + 3)[:n]
    kept = np.full((n + 3, len(holes) + 1), np.nan)
    columns = []
    for hole, cells in holes:
        found = column(hole.kind, cells, symbols)
        if hole.slot is None:
            columns.append(found)
        else:
            kept[slots, hole.slot] = found
    form = Form(members)
    for _ in range(turns):
        form.write(sheet, n, columns, (kept, slots.astype(np.int64)), symbols)
    return sheet.take()


@st.composite
def records(draw: st.DrawFn) -> tuple[list[tuple[str, Any]], list[tuple[Hole, Cells]], list[dict[str, Any]]]:
    """Draw a shape, its columns, and the records that they come to."""
    n = draw(st.integers(1, 5))
    holes: list[tuple[Hole, Cells]] = []

    def one() -> tuple[Hole, Cells]:
        kind = draw(st.sampled_from(sorted(VALUES)))
        slot = len(holes) if kind in IN_SLOTS and draw(st.booleans()) else None
        before = draw(st.none() | TEXT) if kind == "word" else None
        holes.append((Hole(kind, slot, before), draw(st.lists(VALUES[kind], min_size=n, max_size=n))))
        hole, cells = holes[-1]
        return hole, [plain(kind, cell, before) for cell in cells]

    members: list[tuple[str, Any]] = []
    rows: list[dict[str, Any]] = [{} for _ in range(n)]
    for name in draw(st.lists(NAME, min_size=1, max_size=8, unique=True)):
        member: Any
        match draw(st.sampled_from(["value", "list", "object", "constant"])):
            case "value":
                member, values = one()
            case "list":
                (first, some), (second, others) = one(), one()
                member, values = [first, second], [list(both) for both in zip(some, others, strict=True)]
            case "object":
                inner = {key: one() for key in draw(st.lists(NAME, max_size=3, unique=True))}
                member = {key: hole for key, (hole, _) in inner.items()}
                values = [{key: cells[i] for key, (_, cells) in inner.items()} for i in range(n)]
            case _:
                member = draw(TEXT | st.none() | FLOAT)
                values = [member] * n
        members.append((name, member))
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    late = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    if "late" not in rows[0]:
        holes.append((Hole("late"), late))
        members.append(("late", holes[-1][0]))
        for row, is_late in zip(rows, late, strict=True):
            row.update({"late": True} if is_late else {})
    return members, holes, rows


@settings(max_examples=examples(400), deadline=None)
@given(records())
def test_columns_are_written_as_records_are(
    drawn: tuple[list[tuple[str, Any]], list[tuple[Hole, Cells]], list[dict[str, Any]]],
) -> None:
    members, holes, rows = drawn
    found = written(members, holes, len(rows))
    assert found == b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    assert [list(json.loads(line)) for line in found.splitlines()] == [list(row) for row in rows]


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(FLOAT, min_size=1, max_size=50))
@example([float("nan"), float("inf"), -float("inf"), 5e-324, 1.7976931348623157e308, 1e22, 1e-7, 123456789012345680.0])
def test_floats_are_spelled_as_they_always_were(numbers: list[float]) -> None:
    hole = Hole("float")
    found = written([("x", hole)], [(hole, numbers)], len(numbers))
    assert found == b"".join(msgspec.json.encode({"x": number}) + b"\n" for number in numbers)


def test_every_character_is_escaped_as_json_has_it() -> None:
    texts = [chr(i) for i in range(0x3000) if not 0xD800 <= i < 0xE000] + ["\U0001f600", "\U0010ffff"]
    hole = Hole("text")
    found = written([("x", hole)], [(hole, texts)], len(texts))
    assert found == b"".join(msgspec.json.encode({"x": text}) + b"\n" for text in texts)


def test_long_texts_find_room() -> None:
    texts: list[Any] = ["\x01" * 100_000, None, "b" * 300_000, "", "c"] * 3
    hole = Hole("text", 0)
    one = b"".join(msgspec.json.encode({"x": text}) + b"\n" for text in texts)
    assert written([("x", hole)], [(hole, texts)], len(texts), turns=3) == 3 * one


@pytest.mark.parametrize("number", [1e19, -1e19, 2.0**63, float("inf")])
def test_a_whole_number_that_no_64_bits_hold_is_null(number: float) -> None:
    hole = Hole("int")
    assert written([("x", hole)], [(hole, [number])], 1) == b'{"x":null}\n'


def test_a_sheet_begins_anew() -> None:
    sheet = Sheet()
    sheet.add(b"{}\n")
    assert (sheet.take(), sheet.size, sheet.take()) == (b"{}\n", 0, b"")

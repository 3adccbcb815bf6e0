"""The language's page: its examples run, its refusals are said, its drawings hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_ml import Features, Label, Pipeline, fn
from stream_ml.errors import DeclarationError
from stream_ml.language import fn as functions
from tests.naive import Naive

PAGE = Path(__file__).parent.parent.parent / "docs" / "language.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```(\S.*?)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
NAMES: dict[str, Any] = {"__name__": "language_page"}
for info, block in BLOCKS:
    if info == "python":
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), NAMES)
Payment: Any = NAMES["Payment"]
Chargeback: Any = NAMES["Chargeback"]
TIMELINES = [block for info, block in BLOCKS if info == "timeline"]
START = datetime(2024, 1, 1, tzinfo=UTC)


def test_blocks_are_of_known_kinds() -> None:
    assert {info for info, _ in BLOCKS} == {"python", "python refused", "timeline"}
    assert len(TIMELINES) == 5


@pytest.mark.parametrize("source", [block for info, block in BLOCKS if info == "python refused"])
def test_refusals_are_said(source: str) -> None:
    code, said = source.rstrip("\n").rsplit("\n# ", 1)
    with pytest.raises(DeclarationError) as caught:
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), dict(NAMES))
    assert f"{caught.value.cause}. {caught.value.cure}" == said


def test_every_function_and_keyword_is_named() -> None:
    table = TEXT[TEXT.index("## Expressions of a row") :]
    missing = [name for name in functions.__all__ if not re.search(rf"\b{name}\b", table)]
    assert not missing


def moment(text: str) -> datetime:
    """Read `10:00`, `10:00:40` or `02 18:00` (day of January 2024)."""
    day, _, clock = text.rpartition(" ")
    parts = [int(part) for part in clock.split(":")] + [0]
    return START + timedelta(days=int(day or 1) - 1, hours=parts[0], minutes=parts[1], seconds=parts[2])


def table(drawing: str) -> tuple[list[datetime], dict[str, list[str]], dict[str, str]]:
    """Read the upper part of a drawing: times, values of each row, and the expression that a row ends in."""
    lines = drawing.split("\n\n", maxsplit=1)[0].rstrip().splitlines()
    head = re.split(r"\s{2,}", lines[0].strip())[:-1]
    rows: dict[str, list[str]] = {}
    expressions: dict[str, str] = {}
    for line in lines[1:]:
        name, *cells = re.split(r"\s{2,}", line.strip())
        rows[name] = cells[: len(head)]
        if len(cells) > len(head):
            expressions[name] = cells[-1]
    return [moment(text) for text in head], rows, expressions


def features_of(expressions: dict[str, str]) -> type[Features]:
    """Make a Features class whose served names are the rows' names."""
    body: dict[str, Any] = {}
    for name, source in expressions.items():
        expr = eval(source, NAMES)
        tail = f"_{expr.tails[0]}" if expr.tails else ""
        assert name.endswith(tail)
        body[name] = expr[expr.tails[0]] if tail else expr
    return type("Drawn", (Features,), body, of=Payment)


def epoch(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def pay(number: int, at: datetime, amount: float) -> dict[str, Any]:
    return {
        "payment": f"p{number}", "card": "c", "terminal": "t", "shop": "s", "amount": amount, "at": at.isoformat()
    }  # fmt: skip


@pytest.mark.parametrize("drawing", TIMELINES, ids=["windows", "offset", "tiles", "late", "label-fed"])
def test_drawings_hold(drawing: str) -> None:
    times, rows, expressions = table(drawing)
    features = features_of(expressions)
    assert list(features.served) == list(expressions)
    labelled = "label comes" in rows
    label = Chargeback.fraud if labelled else None
    twin = Naive(Pipeline("drawn", features=features, model=None, label=label))
    amounts = [float(amount) for amount in rows.get("amount", ["1"] * len(times))]
    fed = [(epoch(max(times[: i + 1])), "payments", pay(i, at, amounts[i])) for i, at in enumerate(times)]
    for i, comes in enumerate(rows.get("label comes", [])):
        if comes not in ("-", "never"):
            fraud = rows["fraud"][i] == "true"
            fed.append((epoch(moment(comes)), "chargebacks", {"payment": f"p{i}", "card": "c", "fraud": fraud}))
    for offset, (received, topic, record) in enumerate(sorted(fed, key=lambda one: one[0])):
        twin.feed(topic, received, record, offset)
    for i, row in enumerate(twin.predictions):
        for name in expressions:
            drawn = rows[name][i]
            assert row.features.get(name) == (None if drawn == "-" else pytest.approx(float(drawn))), (name, i)
        if "late" in rows:
            assert row.late is (rows["late"][i] == "yes")


def test_the_moment_after() -> None:
    """What the page says below the label-fed drawing."""
    times, _, expressions = table(TIMELINES[-1])
    twin = Naive(Pipeline("drawn", features=features_of(expressions), model=None, label=Chargeback.fraud))
    chargebacks = {0: "02 18:00", 2: "03 12:00"}
    later = times[3] + timedelta(milliseconds=1)
    fed = [(epoch(at), "payments", pay(i, at, 1.0)) for i, at in enumerate([*times[:3], later])]
    fed += [
        (epoch(moment(at)), "chargebacks", {"payment": f"p{i}", "card": "c", "fraud": True})
        for i, at in chargebacks.items()
    ]
    for offset, (received, topic, record) in enumerate(sorted(fed, key=lambda one: one[0])):
        twin.feed(topic, received, record, offset)
    assert twin.predictions[-1].features == {"known_28d": 3, "rate_28d": pytest.approx(2 / 3)}


def test_labels_and_functions_are_the_packages() -> None:
    assert issubclass(Chargeback, Label)
    assert NAMES["fn"] is fn

"""What the decoder returns, and which classes it can decode without pydantic."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    create_model,
    model_validator,
)

from stream_ml.errors import DeclarationError
from stream_ml.schema.decoder import Decoder
from stream_ml.schema.fast import safe_pattern
from tests.scale import examples


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Game(BaseModel):
    move: Annotated[str, Field(alias="class")]
    side: Side = Side.LEFT
    level: Level | None = None
    colour: Literal["red", "blue"] | None = None
    points: int = 3
    won: bool | None = None
    at: datetime = datetime(1969, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC)


def encode(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_aliases_enums_literals_defaults_and_nulls() -> None:
    decoder = Decoder(Game, Game.model_fields)
    assert (decoder.compiled, decoder.why) == (True, "")
    columns = decoder.decode([
        b'{"class": "up"}',
        b'{"class": "d\\u00e9", "side": "right", "level": 2, "colour": "red", "points": 4, "won": true, "at": "2026-01-01"}',  # noqa: E501
        b'{"class": "up", "level": null, "colour": null, "won": null, "points": "5"}',
    ])  # fmt: skip
    assert columns.bad == ()
    assert columns.texts == {
        "move": ["up", "dé", "up"], "side": ["left", "right", "left"], "colour": [None, "red", None],
    }  # fmt: skip
    assert columns.numbers["points"].tolist() == [3, 4, 5]
    assert columns.numbers["at"].tolist() == [-1, 1767225600000, -1]
    for name in ("level", "won"):
        assert np.isnan(columns.numbers[name]).tolist() == [True, False, True]
    assert columns.numbers["level"][1] == 2
    assert columns.numbers["won"][1] == 1


def test_a_name_is_no_alias() -> None:
    assert Decoder(Game, ("move",)).decode([b'{"move": "up"}']).bad[0].path == "$.class"


def test_the_last_of_duplicate_keys_counts() -> None:
    columns = Decoder(Game, ("points",)).decode(
        [b'{"class": "a", "points": 1, "points": 2}', b'{"class": "a", "points": "x", "points": 2}']
    )
    assert columns.numbers["points"].tolist() == [2, 2]


def test_an_empty_batch() -> None:
    columns = Decoder(Game, Game.model_fields).decode([])
    assert (columns.n, len(columns.rows), columns.bad) == (0, 0, ())
    assert columns.texts["move"] == []
    assert columns.numbers["at"].shape == (0,)


def test_records_of_several_lines_do_not_shift_their_neighbours() -> None:
    columns = Decoder(Game, ("points",)).decode(
        [b'{"class": "a",\n "points": 1}', b"", b'{"class": "a"} {"class": "b"}', encode(**{"class": "a"}, points=9)]
    )
    assert columns.rows.tolist() == [0, 3]
    assert columns.numbers["points"].tolist() == [1, 9]


def test_large_batch_with_a_bad_record_here_and_there() -> None:
    batch = [encode(**{"class": f"m{i}"}, points=i if i % 97 else "many") for i in range(5000)]
    columns = Decoder(Game, ("move", "points")).decode(batch)
    bad = [i for i in range(5000) if i % 97 == 0]
    assert [one.index for one in columns.bad] == bad
    assert columns.rows.tolist() == [i for i in range(5000) if i % 97]
    assert columns.numbers["points"].tolist() == columns.rows.tolist()
    assert columns.texts["move"] == [f"m{i}" for i in columns.rows]


class Inner(BaseModel):
    x: float


class Later(BaseModel):
    x: float
    other: Later | None = None


def model(annotation: Any, config: ConfigDict | None = None) -> type[BaseModel]:
    return create_model("Made", __config__=config, x=(annotation, ...))


class Initialised(BaseModel):
    x: float

    def model_post_init(self, context: Any, /) -> None:
        self.x = 2 * self.x


class Swapped(BaseModel):
    x: float

    @model_validator(mode="before")
    @classmethod
    def swap(cls, data: Any) -> Any:
        return data


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (model(Annotated[float, AfterValidator(abs)]), "x: a function-after is checked by pydantic"),
        (model(Annotated[float, Field(multiple_of=0.1)]), "x: multiple of is checked by pydantic"),
        (model(Annotated[float, Field(strict=True)]), "x: strict is checked by pydantic"),
        (model(Annotated[int, Ge(2**60)]), f"x: the bound {2**60} is checked by pydantic"),
        (model(AwareDatetime), "x: tz constraint is checked by pydantic"),
        (model(Annotated[str, Field(pattern="(a+)+$")]), "x: the pattern '(a+)+$' is checked by pydantic"),
        (model(Annotated[str, Field(validation_alias=AliasChoices("a", "b"))]), "x: its alias is a path or a choice"),
        (model(float, ConfigDict(extra="forbid")), "extra fields are refused"),
        (model(str, ConfigDict(str_strip_whitespace=True)), "its configuration: str strip whitespace"),
        (model(Annotated[float, Field(alias="y")], ConfigDict(validate_by_name=True)),
         "fields may be given by name or by alias"),
        (model(Annotated[float, Field(default_factory=float)]), "x: its default is made by a function, or is no float"),
        (Initialised, "the class has model_post_init"),
        (Swapped, "a validator of the whole model"),
    ],
)  # fmt: skip
def test_why_a_class_is_left_to_pydantic(made: type[BaseModel], why: str) -> None:
    decoder = Decoder(made, ("x",))
    assert (decoder.compiled, decoder.why) == (False, why)
    assert decoder.decode([b"[]"]).bad[0].path == "$"


def test_nested_fields_are_allowed_but_make_no_column() -> None:
    made = create_model("Nested", x=(float, ...), inner=(Inner, ...), many=(list[int], ...))
    decoder = Decoder(made, ("x",))
    assert (decoder.compiled, decoder.why) == (False, "inner: a model is checked by pydantic")
    columns = decoder.decode(
        [
            encode(x=1, inner={"x": 2}, many=[1]),
            encode(x=1, inner={"x": "a"}, many=[]),
            encode(x=1, inner={"x": 2}, many=[1, "b"]),
        ]
    )
    assert columns.numbers["x"].tolist() == [1]
    assert [(one.index, one.path) for one in columns.bad] == [(1, "$.inner.x"), (2, "$.many[1]")]
    with pytest.raises(
        DeclarationError, match=re.escape("Nested.inner is of a type that makes no column. Use float, int")
    ):
        Decoder(made, ("inner",))


def test_a_class_that_refers_to_itself() -> None:
    columns = Decoder(Later, ("x",)).decode([encode(x=1, other={"x": 2})])
    assert columns.numbers["x"].tolist() == [1]


def test_mistakes_are_named() -> None:
    with pytest.raises(DeclarationError, match=re.escape("Inner has no field y. It has x")):
        Decoder(Inner, ("y",))
    with pytest.raises(DeclarationError, match="has no fields of its own"):
        Decoder(RootModel[list[int]], ())


def test_numbers_of_both_kinds_are_left_to_pydantic() -> None:
    decoder = Decoder(model(int | float), ("x",))
    assert not decoder.compiled
    assert decoder.decode([b'{"x": 1}', b'{"x": 1.5}', b'{"x": 9007199254740993}']).numbers["x"].tolist() == [1, 1.5]


numbers = st.one_of(st.integers(-6, 6), st.floats(-6, 6))
bounds = {int: st.one_of(st.none(), st.integers(-5, 5)), float: st.one_of(st.none(), numbers)}
limited = st.sampled_from([int, float]).flatmap(lambda kind: st.tuples(st.just(kind), st.tuples(*[bounds[kind]] * 4)))


@settings(max_examples=examples(150), deadline=None)
@given(limited, st.lists(numbers, max_size=8))
def test_bounds_are_those_of_pydantic(limits: tuple[type, tuple[float | None, ...]], values: list[float]) -> None:
    named: zip[tuple[Any, float | None]] = zip((Ge, Gt, Le, Lt), limits[1], strict=True)
    metadata = [bound(limit) for bound, limit in named if limit is not None]
    annotation = Annotated[(limits[0], *metadata)] if metadata else limits[0]
    made = model(annotation)
    quick, slow = Decoder(made, ("x",)), Decoder(made, ("x",))
    assert quick.compiled
    slow._fast = None
    batch = [encode(x=value) for value in values]
    assert quick.decode(batch).rows.tolist() == slow.decode(batch).rows.tolist()


PATTERNS = ["^a$", "^[a-c]+$", r"^c\d{1,3}", r"\.x$", "a.c", "^e?b*", r"^[\w.-]+$", "a{2}", r"\$"]


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(PATTERNS), st.one_of(st.text(max_size=6), st.text("abcé.x$1٣\n_-", max_size=6)))
def test_a_safe_pattern_matches_only_what_pydantic_matches(pattern: str, text: str) -> None:
    safe = safe_pattern(pattern)
    assert safe is not None
    if re.search(safe, text):
        model(Annotated[str, Field(pattern=pattern)]).model_validate({"x": text})


@pytest.mark.parametrize(
    "pattern",
    [
        "(a)",
        "a|b",
        "[^a]",
        r"\D",
        r"\bx",
        "a+b",
        "^a+b+",
        "a+?",
        "[a&&b]",
        "[[:alpha:]]",
        "(?i)a",
        r"\p{L}",
        "^a{2}{3}",
    ],
)
def test_other_patterns_are_left_to_pydantic(pattern: str) -> None:
    assert safe_pattern(pattern) is None


class Moment(BaseModel):
    at: datetime


@settings(max_examples=examples(300), deadline=None)
@given(st.datetimes(), st.integers(-1439, 1439), st.sampled_from(["T", " "]), st.integers(0, 6))
def test_times_are_floored_to_milliseconds(moment: datetime, offset: int, between: str, digits: int) -> None:
    moment -= timedelta(microseconds=moment.microsecond % 10 ** (6 - digits))
    clock = moment.strftime("%H:%M:%S") + (f".{moment.microsecond:06d}"[: digits + 1] if digits else "")
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}{between}{clock}{zone}"
    ms = (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1) - offset * 60_000  # noqa: DTZ001
    columns = Decoder(Moment, ("at",)).decode([encode(at=text)])
    if -62_135_596_800_000 <= ms <= 253_402_300_799_999:
        assert columns.numbers["at"].tolist() == [ms]
    else:
        assert columns.bad[0].path == "$.at"


def test_a_time_without_a_zone_is_utc() -> None:
    columns = Decoder(Moment, ("at",)).decode(
        [
            encode(at="2026-01-01T12:00:00"),
            encode(at="2026-01-01T12:00:00Z"),
            encode(at=1767268800),
            encode(at=1767268800000),
        ]
    )
    assert set(columns.numbers["at"].tolist()) == {1767268800000.0}
    assert not math.isnan(columns.numbers["at"][0])

"""Every function of one row: numbers, times, missing values, choices, categories, text."""

# mypy: disable-error-code="operator, arg-type"
# A column that may be missing takes part in arithmetic; a type checker sees `float | None`.

from datetime import datetime
from enum import Enum

from stream_ml import Event, Features, Pipeline, fn


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Item(Event, topic="items", id="item", key="owner", time="at", lateness="1s"):
    item: str
    owner: str
    x: float | None = None
    y: float | None = None
    n: int
    m: int | None = None
    flag: bool | None = None
    size: Size | None = None
    text: str | None = None
    made: datetime | None = None
    at: datetime


class RowFeatures(Features, of=Item, take=(Item.x, Item.n, Item.flag, Item.size, Item.text)):
    plus = Item.x + Item.y
    minus = Item.x - 1
    times = Item.x * Item.y
    over = Item.x / Item.y
    under = 1 / Item.n
    square = Item.x**2
    cube = Item.x**3
    inverse = Item.x**-2
    root = Item.x**0.5
    power = Item.x**1.7
    below = Item.x < Item.y
    at_most = Item.x <= 1
    above = Item.n > Item.m
    at_least = Item.n >= 2
    same = Item.text == "a"
    differs = Item.text != Item.owner
    both = (Item.x > 0) & Item.flag
    either = (Item.x > 0) | Item.flag
    neither = ~((Item.x > 0) | (Item.y > 0))
    negative = -Item.x
    size_of = fn.abs(Item.x)
    log1p = fn.log1p(Item.x)
    log = fn.log(Item.x)
    exp = fn.exp(Item.x)
    sqrt = fn.sqrt(Item.x)
    sin = fn.sin(Item.x)
    cos = fn.cos(Item.y)
    clip = fn.clip(Item.x, -0.5, 2)
    round0 = fn.round(Item.x)
    round1 = fn.round(Item.y, 1)
    age = fn.seconds(Item.at - Item.made)
    hour = fn.hour(Item.at)
    paris = fn.hour(Item.at, tz="Europe/Paris")
    weekday = fn.weekday(Item.at, tz="America/New_York")
    month = fn.month(Item.made)
    minute = fn.minute_of_day(Item.at, tz="Australia/Lord_Howe")
    day = fn.cyclic(fn.minute_of_day(Item.at), 1440)
    gone = fn.is_missing(Item.x)
    filled = fn.fill(Item.x, -1.0)
    filled_n = fn.fill(Item.m, 0)
    filled_text = fn.fill(Item.text, "none")
    chosen = fn.when(Item.flag, Item.x, otherwise=Item.y)
    chosen_only = fn.when(Item.x > 1, Item.y)
    chosen_text = fn.when(Item.flag, "yes", otherwise="no")
    member = fn.isin(Item.text, "a", "c")
    member_n = fn.isin(Item.n, 1, 3)
    category = fn.category(Item.n)
    hour_category = fn.category(fn.hour(Item.at))
    bins = fn.bins(Item.x, -1, 0, 0.1, 2.5)
    cross = fn.cross(Item.owner, Item.text)
    cross_n = fn.cross(Item.text, category, fn.bins(Item.y, 0))
    hashed = fn.hashed(Item.text, 2**20)
    hashed_n = fn.hashed(fn.category(Item.m), 1009)
    hashed_cross = fn.hashed(fn.cross(Item.owner, category, Item.text), 2**18)
    lower = fn.lower(Item.text)
    length = fn.length(Item.text)
    late_made = Item.made > datetime(2025, 3, 30, 1, 0)  # noqa: DTZ001 (without a zone it is UTC)


pipeline = Pipeline("rows", features=RowFeatures, model=None, slices=(Item.size,))

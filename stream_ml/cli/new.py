"""`stream-ml new`: a small pipeline with sample data that runs at once."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from stream_ml.cli.console import say
from stream_ml.errors import StorageError, UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_SEED = 7
_ORDERS = 5_000
_START = datetime(2025, 3, 1, 8, tzinfo=UTC)
_LEAST = 0.005

PIPELINE = '''\
"""Will an order be sent back? Predicted when it is placed; learned when it returns, or when two days have passed."""

from datetime import datetime
from typing import Annotated

from annotated_types import Ge
from river import compose, linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


# What happens. Types and constraints are the validation; what does not fit becomes a dead letter.
class Order(Event, topic="orders", id="order", key="customer", time="at", lateness="1m"):
    order: str
    customer: str
    shop: str
    price: Annotated[float, Ge(0)]
    at: datetime


# What becomes known later. No record within `wait` means what `silence` says.
class Return(Label, of=Order, topic="returns", wait="2d", silence={"returned": False}):
    order: str
    customer: str
    returned: bool


# One line a feature; windows append their span to its name: orders_1d, orders_30d.
class OrderFeatures(Features, of=Order, take=(Order.shop,)):
    price = fn.log1p(Order.price)
    evening = fn.hour(Order.at, tz="Europe/Paris") >= 18
    orders = fn.count(Order).over("1d", "30d", by=Order.customer)
    usual = fn.log1p(Order.price) - fn.log1p(fn.mean(Order.price).before("30d", by=Order.customer))
    # Fed by labels as they become known, by silence too:
    returned = fn.mean(Return.returned).over("30d", by=Order.customer)
    returned_shop = fn.mean(Return.returned).over("30d", by=Order.shop)


# Any river estimator: numbers are scaled, words become indicators, a logistic regression learns from both.
numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
words = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True)

pipeline = Pipeline(
    "{name}",
    features=OrderFeatures,
    label=Return.returned,
    model=(numbers + words) | linear_model.LogisticRegression(),
    slices=(Order.shop,),  # quality is measured for each shop as well
    carry=(Order.price,),  # copied to the prediction
)
'''


def new(name: str) -> None:
    """Write the folder and say what to type next.

    Raises
    ------
    UsageError
        If the name cannot be one, or the folder is there already.
    """
    if not _NAME.fullmatch(name):
        cause = f"{name!r} cannot be the name of a pipeline"
        raise UsageError(cause, "Use letters, digits, _ and -, a letter first")
    folder = Path(name)
    if folder.exists():
        cause = f"{folder} is there already"
        raise UsageError(cause, "Choose another name; nothing was written")
    orders, returns = sample()
    try:
        folder.mkdir()
        (folder / "pipeline.py").write_text(PIPELINE.replace("{name}", name), encoding="utf-8")
        (folder / "orders.ndjson").write_bytes(orders)
        (folder / "returns.ndjson").write_bytes(returns)
    except OSError as error:
        cause = f"{folder} cannot be written ({error.strerror})"
        raise StorageError(cause, "Go to a folder that you may write") from error
    say(f"{folder}/ holds pipeline.py, orders.ndjson and returns.ndjson. Next:\n")
    for line in (
        f"cd {name}",
        "stream-ml check pipeline.py",
        "stream-ml replay pipeline.py orders=orders.ndjson returns=returns.ndjson --out out",
        f"stream-ml produce orders orders.ndjson --on sqlite:///{name}.db",
        f"stream-ml run pipeline.py --on sqlite:///{name}.db --until-end",
        f"stream-ml consume {name}.predictions --on sqlite:///{name}.db --format table",
    ):
        say(f"  {line}")


def sample() -> tuple[bytes, bytes]:
    """Make orders and returns as NDJSON: the same at every call.

    Some customers return more, some shops get more returns, dear orders come back more often; a return arrives
    within 36 hours of its order.

    Examples
    --------
    >>> orders, returns = sample()
    >>> orders.splitlines()[0].decode()
    '{"order":"o00001","customer":"c041","shop":"shoes","price":19.38,"at":"2025-03-01T08:44:08+00:00"}'
    >>> len(orders.splitlines()), 800 < len(returns.splitlines()) < 1_200
    (5000, True)
    """
    chance = random.Random(_SEED)
    shops = {"shoes": 0.35, "dresses": 0.3, "books": 0.02, "lamps": 0.08}
    fond = {f"c{n:03d}": chance.uniform(0.0, 2.0) for n in range(150)}
    orders: list[dict[str, object]] = []
    returns: list[tuple[datetime, dict[str, object]]] = []
    at = _START
    for n in range(1, _ORDERS + 1):
        at += timedelta(seconds=round(chance.expovariate(1 / 1_500)))
        customer = chance.choice(list(fond))
        shop = chance.choice(list(shops))
        price = round(chance.lognormvariate(3.5, 0.7), 2)
        order = {"order": f"o{n:05d}", "customer": customer}
        orders.append(order | {"shop": shop, "price": price, "at": at.isoformat()})
        odds = shops[shop] * fond[customer] * min(2.0, price / 40.0) + _LEAST
        if chance.random() < odds:
            known = at + timedelta(seconds=round(chance.uniform(3_600, 129_600)))
            returns.append((known, order | {"returned": True, "received": round(known.timestamp() * 1_000)}))
    returns.sort(key=lambda one: one[0])
    return _lines(orders), _lines([record for _, record in returns])


def _lines(records: list[dict[str, object]]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)

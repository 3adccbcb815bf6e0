"""What users get wrong: each is put after `PREAMBLE` into a file of its own, and refused with line, cause and cure."""

from __future__ import annotations

PREAMBLE = '''\
"""A pipeline with one mistake."""
import math
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from pydantic import Field
from river import anomaly, cluster, compose, linear_model, preprocessing

from stream_ml import Event, Features, Label, Learning, Monitor, Pipeline, Table, calendar, fn, session


class Status(Enum):
    PAID = "paid"
    OPEN = "open"


class Payment(Event, topic="payments", id="payment", key="card", time="at", lateness="30s"):
    payment: str
    card: str
    terminal: str
    status: Status
    code: int
    country: str | None = None
    amount: Annotated[float, Ge(0)]
    at: datetime


class Chargeback(Label, of=Payment, topic="chargebacks", wait="7d", silence={"fraud": False}):
    payment: str
    card: str
    fraud: bool


class Visit(Event, topic="visits", key="visitor", time="at", lateness="0s"):
    visitor: str
    card: int
    at: datetime


class Shop(Table, topic="shops", key="shop"):
    shop: str
    risk: float


class Good(Features, of=Payment):
    amount = fn.log1p(Payment.amount)


MODEL = preprocessing.StandardScaler() | linear_model.LogisticRegression()
# The mistake:
'''


def feature(body: str) -> str:
    """Write a Features class around one line or several."""
    return "class A(Features, of=Payment):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def event(keywords: str, fields: str = "") -> str:
    """Write an Event class with these keywords."""
    extra = "".join(f"    {line}\n" for line in fields.splitlines())
    return f"class B(Event, {keywords}):\n    card: str\n    at: datetime\n{extra}"


def label(keywords: str, fields: str = "payment: str\ncard: str\nfraud: bool") -> str:
    """Write a Label class with these keywords."""
    return f"class L(Label, {keywords}):\n" + "".join(f"    {line}\n" for line in fields.splitlines())


def pipeline(keywords: str) -> str:
    """Write a Pipeline."""
    return f'pipeline = Pipeline("x", {keywords})\n'


MISTAKES: dict[str, str] = {
    # windows
    "no_window": feature("a = fn.mean(Payment.amount)"),
    "no_window_in_arithmetic": feature("a = Payment.amount / fn.mean(Payment.amount)"),
    "no_span": feature("a = fn.mean(Payment.amount).over(by=Payment.card)"),
    "no_by": feature('a = fn.mean(Payment.amount).over("1h")'),
    "by_without_keyword": feature("a = fn.last(Chargeback.fraud).over(Payment.card)"),
    "string_key": feature('n = fn.count(Payment).over("1h", by="card")'),
    "empty_key": feature('n = fn.count(Payment).over("1h", by=())'),
    "window_keyword": feature('n = fn.count(Payment).over("1h", key=Payment.card)'),
    "span_unit": feature('n = fn.count(Payment).over("1y", by=Payment.card)'),
    "span_zero": feature('n = fn.count(Payment).over("0s", by=Payment.card)'),
    "span_negative": feature("n = fn.count(Payment).over(-5, by=Payment.card)"),
    "span_twice": feature('n = fn.count(Payment).over("1h", "1h", by=Payment.card)'),
    "span_of_lag": feature('n = fn.lag(Payment.amount).over("1h", by=Payment.card)'),
    "offset_of_last_n": feature('n = fn.count(Payment).over(20, by=Payment.card, offset="1d")'),
    "tiles_and_exact": feature('n = fn.count(Payment).over("1h", by=Payment.card, tiles=10, exact=True)'),
    "count_of_column": feature('n = fn.count(Payment.card).over("1h", by=Payment.card)'),
    "last_of_own": feature("a = fn.last(Payment.amount).over(by=Payment.card)"),
    "key_of_other_stream": feature('n = fn.count(Visit).over("1h", by=Payment.card)'),
    "key_unknown": feature('n = fn.count(Visit).over("1h", by=Visit.visitor)'),
    "key_of_other_kind": feature('n = fn.count(Visit).over("1h", by=Visit.card)'),
    "at_of_other_kind": feature('n = fn.count(Visit).over("1h", by=Visit.visitor, at=Payment.code)'),
    "at_too_short": feature('n = fn.count(Visit).over("1h", by=(Visit.visitor, Visit.card), at=Payment.card)'),
    "filter_of_other_stream": feature('n = fn.count(Payment).where(Chargeback.fraud).over("1h", by=Payment.card)'),
    "filter_no_condition": feature('n = fn.count(Payment).where(Payment.amount).over("1h", by=Payment.card)'),
    "source_of_base_class": (
        'class Big(Payment, topic="big", key="card", time="at", lateness="0s"):\n    extra: int\n\n'
        'class A(Features, of=Big):\n    n = fn.count(Payment).over("1h", by=Payment.card)\n'
    ),
    "column_of_base_class": (
        'class Big(Payment, topic="big", key="card", time="at", lateness="0s"):\n    extra: int\n\n'
        "class A(Features, of=Big):\n    n = fn.log1p(Payment.amount)\n"
    ),
    "two_streams": feature('n = fn.mean(Payment.amount * Visit.card).over("1h", by=Payment.card)'),
    # families and names
    "mixed": feature(
        'n = fn.count(Payment).over("1h", "1d", by=Payment.card)\n'
        'm = fn.count(Payment).over("2h", "1d", by=Payment.card)\n'
        "r = n / m"
    ),
    "twice": feature('n = fn.count(Payment).over("1h", by=Payment.card)\nn_1h = Payment.amount'),
    "twice_taken": "class A(Features, of=Payment, take=(Payment.amount,)):\n    amount = fn.log1p(Payment.amount)\n",
    "span_pick": feature('n = fn.count(Payment).over("1h", by=Payment.card)\nr = n["1d"]'),
    "pick_of_column": feature('r = Payment.amount["1d"]'),
    "constant": feature("n = 3"),
    "method": feature("def n(self):\n    return 3"),
    "reserved": feature("served = Payment.amount"),
    "features_without_of": "class A(Features):\n    a = Payment.amount\n",
    "features_keyword": "class A(Features, off=Payment):\n    a = Payment.amount\n",
    "take_text": 'class A(Features, of=Payment, take=("amount",)):\n    pass\n',
    # columns
    "typo": feature("n = Payment.amuont"),
    "column_method": feature("n = Payment.amount.log1p()"),
    "is_none": feature('n = fn.count(Payment).where(Payment.country is None).over("1h", by=Payment.card)'),
    "is_none_feature": feature("n = Payment.country is None"),
    "equals_none": feature("n = Payment.country == None"),
    "and": feature("r = Payment.amount > 3 and Payment.amount < 5"),
    "and_without_brackets": feature("r = Payment.amount > 3 & Payment.code"),
    "chain": feature("r = 3 < Payment.amount < 5"),
    "in": feature('r = Payment.country in ("FR", "DE")'),
    "if": feature("r = 1 if Payment.amount > 3 else Payment.amount"),
    "fstring": feature('r = f"{Payment.card}-{Payment.terminal}"'),
    "math": feature("r = math.log1p(Payment.amount)"),
    "numpy": feature("r = np.log1p(Payment.amount)"),
    "builtin_abs": feature("r = abs(Payment.amount)"),
    "builtin_len": feature("r = len(Payment.card)"),
    "loop": feature("r = [x for x in Payment.card]"),
    "modulo": feature("r = Payment.code % 7"),
    "timedelta": feature("r = Payment.at - timedelta(hours=1)"),
    # kinds
    "mean_of_text": feature('a = fn.mean(Payment.card).over("1h", by=Payment.card)'),
    "arithmetic_on_text": feature("a = Payment.card + 1"),
    "order_of_text": feature('a = Payment.country < "FR"'),
    "text_against_number": feature("a = Payment.card == 7"),
    "enum_typo": feature('a = Payment.status == "payed"'),
    "hour_of_number": feature("a = fn.hour(Payment.amount)"),
    "time_as_feature": feature("a = Payment.at"),
    "span_as_feature": feature("a = Payment.at - Payment.at"),
    "time_against_text": feature('a = Payment.at > "2024-01-01"'),
    "category_of_text": feature("a = fn.category(Payment.card)"),
    "hashed_amount": feature("a = fn.hashed(Payment.amount, 100)"),
    "fill_with_other_kind": feature("a = fn.fill(Payment.country, 0)"),
    "when_of_two_kinds": feature('a = fn.when(Payment.amount > 5, 1, otherwise="small")'),
    "zone": feature('a = fn.hour(Payment.at, tz="Europe/Pariss")'),
    "edges": feature("a = fn.bins(Payment.amount, 100, 10)"),
    "isin_list": feature('a = fn.isin(Payment.country, ["FR", "DE"])'),
    "lookup_of_event": feature("a = fn.lookup(Payment.amount, Payment.card)"),
    "lookup_key_kind": feature("a = fn.lookup(Shop.risk, Payment.code)"),
    "table_without_lookup": feature("a = Shop.risk"),
    "other_event": feature("a = Visit.card"),
    # labels in features
    "own_label": feature("a = Chargeback.fraud"),
    "own_label_same_record": (
        'class Sms(Event, topic="sms", id="id", key=None, time="at", lateness="0s"):\n'
        "    id: int\n    at: datetime\n    spam: bool\n    text: str\n\n"
        'class Verdict(Label, of=Sms, topic="sms", wait="1d"):\n    id: int\n    spam: bool\n\n'
        "class A(Features, of=Sms):\n    length = fn.length(Sms.text)\n    spam = fn.when(Sms.spam, 1, 0)\n\n"
        + pipeline("features=A, label=Verdict.spam, model=MODEL")
    ),
    # not yet
    "session": 'HERE = session("30m")\n',
    "calendar": 'TODAY = calendar("day", tz="UTC")\n',
    "distinct": feature('a = fn.distinct(Payment.terminal).over("1h", by=Payment.card)'),
    "quantile": feature('a = fn.quantile(Payment.amount, 0.9).over("1h", by=Payment.card)'),
    "aggregate_in_filter": feature(
        '_n = fn.count(Payment).over("1h", by=Payment.card)\n'
        'a = fn.count(Payment).where(_n["1h"] == 1).over("1d", by=Payment.card)'
    ),
    "aggregate_in_key": feature(
        '_n = fn.count(Payment).over("1h", by=Payment.card)\na = fn.count(Payment).over("1d", by=_n["1h"])'
    ),
    "aggregate_in_value": feature(
        '_n = fn.count(Payment).over("1h", by=Payment.card)\na = fn.mean(_n["1h"]).over("1d", by=Payment.card)'
    ),
    "two_labels": (
        label('of=Payment, topic="disputes", wait="1d"')
        + feature('a = fn.mean(L.fraud).over("1d", by=Payment.card)')
        + pipeline("features=A, label=Chargeback.fraud, model=MODEL")
    ),
    # declarations
    "event_key_typo": event('topic="x", key="crad", time="at", lateness="1s"'),
    "event_keyword_typo": event('topik="x", key="card", time="at", lateness="1s"'),
    "event_without_topic": event('key="card", time="at", lateness="1s"'),
    "event_without_key": event('topic="x", time="at", lateness="1s"'),
    "event_without_time": event('topic="x", key="card", lateness="1s"'),
    "event_without_lateness": event('topic="x", key="card", time="at"'),
    "event_lateness": event('topic="x", key="card", time="at", lateness="30 seconds"'),
    "event_topic": event('topic="my payments", key="card", time="at", lateness="1s"'),
    "event_time_is_text": event('topic="x", key="card", time="card", lateness="1s"'),
    "event_key_is_float": event('topic="x", key="price", time="at", lateness="1s"', "price: float"),
    "event_field_hides_method": event('topic="x", key="card", time="at", lateness="1s"', "copy: int"),
    "column_of_dates": event('topic="x", key="card", time="at", lateness="1s"', "day: date")
    + "class A(Features, of=B):\n    day = B.day\n",
    "table_key": 'class T(Table, topic="x", key="shopp"):\n    shop: str\n',
    "table_without_key": 'class T(Table, topic="x"):\n    shop: str\n',
    "label_on": label('of=Payment, topic="x", wait="1d", on="crad"', "crad: str"),
    "label_of": label('of="Payment", topic="x", wait="1d"'),
    "label_without_wait": label('of=Payment, topic="x"'),
    "label_without_key": label('of=Payment, topic="x", wait="1d"', "payment: str\nfraud: bool"),
    "label_id_kind": label('of=Payment, topic="x", wait="1d"', "payment: int\ncard: str\nfraud: bool"),
    "label_without_match": label('of=Visit, topic="x", wait="1d"', "visitor: str\ngood: bool"),
    "label_silence_field": label('of=Payment, topic="x", wait="1d", silence={"fruad": False}'),
    "label_silence_value": label('of=Payment, topic="x", wait="1d", silence={"fraud": "perhaps"}'),
    # pipelines
    "pipeline_without_model": pipeline("features=Good, label=Chargeback.fraud"),
    "pipeline_keyword": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, treshold=0.3"),
    "pipeline_positional": 'pipeline = Pipeline("x", Good, MODEL)\n',
    "pipeline_name": 'pipeline = Pipeline("my pipeline", features=Good, label=Chargeback.fraud, model=MODEL)\n',
    "pipeline_features_instance": pipeline("features=Good(), label=Chargeback.fraud, model=MODEL"),
    "pipeline_label_is_none": pipeline("features=Good, label=Payment.country is None, model=None"),
    "pipeline_label_of_event": pipeline("features=Good, label=Payment.amount > 5, model=MODEL"),
    "pipeline_no_label": pipeline("features=Good, model=MODEL"),
    "pipeline_model_class": pipeline("features=Good, label=Chargeback.fraud, model=linear_model.LogisticRegression"),
    "pipeline_model_of_others": pipeline("features=Good, label=Chargeback.fraud, model=math"),
    "pipeline_clusterer": pipeline("features=Good, label=Chargeback.fraud, model=cluster.KMeans()"),
    "pipeline_regression_of_truth": pipeline(
        "features=Good, label=Chargeback.fraud, model=linear_model.LinearRegression()"
    ),
    "pipeline_classes_of_number": (
        label('of=Payment, topic="x", wait="1d"', "payment: str\ncard: str\nloss: float")
        + pipeline("features=Good, label=L.loss, model=MODEL")
    ),
    "pipeline_many_classes": (
        label('of=Payment, topic="x", wait="1d"', "payment: str\ncard: str\nreason: str")
        + pipeline("features=Good, label=L.reason, model=MODEL")
    ),
    "pipeline_when_of_label": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, when=Chargeback.fraud"),
    "pipeline_when_number": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, when=Payment.amount"),
    "pipeline_slices_of_label": pipeline(
        "features=Good, label=Chargeback.fraud, model=MODEL, slices=(Chargeback.fraud,)"
    ),
    "pipeline_slices_of_amount": pipeline(
        "features=Good, label=Chargeback.fraud, model=MODEL, slices=(Payment.amount,)"
    ),
    "pipeline_carry_of_label": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, carry=(Chargeback.card,)"),
    "pipeline_carry_text": pipeline('features=Good, label=Chargeback.fraud, model=MODEL, carry="card"'),
    "pipeline_weight_window": (
        'N = fn.count(Payment).over("1h", by=Payment.card)["1h"]\n'
        + pipeline("features=Good, label=Chargeback.fraud, model=MODEL, weight=N")
    ),
    "pipeline_weight_text": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, weight=Payment.card"),
    "pipeline_threshold": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, threshold=30"),
    "pipeline_pending": pipeline('features=Good, label=Chargeback.fraud, model=MODEL, pending="lots"'),
    "pipeline_learning": pipeline('features=Good, label=Chargeback.fraud, model=MODEL, learning=Learning(sync="now")'),
    "pipeline_monitor": pipeline("features=Good, label=Chargeback.fraud, model=MODEL, monitor=Monitor(every=0)"),
    # files
    "no_pipeline": "x = 1\n",
    "two_pipelines": (
        'one = Pipeline("one", features=Good, label=Chargeback.fraud, model=MODEL)\n'
        'two = Pipeline("two", features=Good, label=Chargeback.fraud, model=MODEL)\n'
    ),
    "syntax": "x = = 1\n",
    "no_module": "import there_is_no_such_module\n",
    "other_error": "x = 1 / 0\n",
}

#: Only the loader can see these: the file runs, or Python stops it before the language does.
OF_LOADER = {"no_pipeline", "two_pipelines", "syntax", "no_module", "other_error"}

#: What type checkers see in the editor, before anything runs.
SEEN_BY_MYPY = {
    "no_window_in_arithmetic", "no_span", "no_by", "by_without_keyword", "window_keyword", "typo", "column_method",
    "mean_of_text", "arithmetic_on_text", "hour_of_number", "pipeline_without_model", "pipeline_keyword", "span_of_lag",
    "features_without_of", "count_of_column", "pipeline_features_instance",
}  # fmt: skip

"""A small pipeline: its label comes within an hour, or silence speaks."""

from datetime import datetime

from river import linear_model, preprocessing

from stream_ml import Event, Features, Label, Pipeline, fn


class Order(Event, topic="orders", id="order", key="customer", time="at", lateness="1m"):
    order: str
    customer: str
    price: float
    at: datetime


class Return(Label, of=Order, topic="returns", wait="1h", silence={"returned": False}):
    order: str
    customer: str
    returned: bool


class OrderFeatures(Features, of=Order):
    price = fn.log1p(Order.price)
    orders = fn.count(Order).over("1h", "1d", by=Order.customer)
    usual = fn.mean(Order.price).before("1d", by=Order.customer)
    returned = fn.mean(Return.returned).over("1d", by=Order.customer)


pipeline = Pipeline(
    "orders",
    features=OrderFeatures,
    label=Return.returned,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)

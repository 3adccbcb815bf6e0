"""What a bid says."""

from datetime import datetime
from typing import Annotated

from annotated_types import Ge
from pydantic import BaseModel


class BidFields(BaseModel):
    """A bid; its channel, its URL and what fills it up are in the record too, and not read."""

    auction: int
    bidder: int
    price: Annotated[int, Ge(0)]
    date_time: datetime

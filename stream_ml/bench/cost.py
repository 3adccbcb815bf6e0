"""What predictions cost: cores and money, from the CPU time that a drained backlog took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_ml.errors import UsageError


def cost(found: Mapping[str, Any], price: float, load: float) -> dict[str, float]:
    """Return what a million predictions cost, each with its label.

    Parameters
    ----------
    found
        What `stream_ml.bench.throughput.throughput` returned.
    price
        Of a core for an hour, in any currency.
    load
        Share of a core's time that the worker is busy on average: capacity that stands by is paid for too.

    Raises
    ------
    UsageError
        A price below zero, or a load that is not above 0 and at most 1.

    Examples
    --------
    >>> cost({"cpu_us_per_event": 10.0}, price=0.036, load=0.5)["money_per_million"]
    0.0002
    """
    if price < 0 or not 0 < load <= 1:
        cause = f"A price is zero or more and a load above 0 and at most 1, not {price:g} and {load:g}"
        raise UsageError(cause, "Write --price 0.05 --load 0.5")
    seconds = float(found["cpu_us_per_event"])  # microseconds an event are seconds a million
    return {
        "events_per_core_second": round(1e6 / seconds),
        "cpu_seconds_per_million": seconds,
        "core_seconds_per_million": round(seconds / load, 2),
        "price_per_core_hour": price,
        "load": load,
        "money_per_million": round(seconds / load / 3_600 * price, 9),
    }

"""Two workers beside one: the figures, and the section that tells them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from benchmarks import workers
from benchmarks.report import workers as section


def run(rate: int, cpu: float, busiest: float) -> dict[str, Any]:
    return {
        "payments_per_second": rate,
        "cpu_us_per_payment": cpu,
        "busiest_cpu_us_per_payment": busiest,
        "broker_cpu_us_per_payment": 3.0,
    }


def test_the_speed_up_is_by_cpu_time_within_a_round() -> None:
    one, two = [run(10, 10.0, 10.0), run(10, 30.0, 30.0)], [run(11, 10.0, 6.0), run(12, 40.0, 25.0)]
    found = workers.speed_up(one, two)
    assert found["speed_up"] == {"median": 1.75, "range": [1.5, 2.0]}
    assert found["speed_up_of_the_busier"] == {"median": 1.43, "range": [1.2, 1.67]}
    assert found["by_wall_time"]["median"] == 1.15
    assert found["reached"]
    told = "\n".join(
        section({"rounds": 2, "workers": {"1": workers.summary(one), "2": workers.summary(two)}, **found})
    )
    assert "together: 1.75 (1.5 to 2.0) (at least 1.7): reached" in told
    assert "alone it is 1.43 (1.2 to 1.67)" in told


def test_an_example_that_comes_twice_is_wrong() -> None:
    rows = [{"id": name, "features": {"n": n}} for n, name in enumerate(("a", "b", "a"))]
    assert workers.features_of([orjson.dumps(row) for row in rows[:2]]) == {"a": b'{"n":0}', "b": b'{"n":1}'}
    with pytest.raises(RuntimeError, match="3 examples of 2 payments"):
        workers.features_of([orjson.dumps(row) for row in rows])

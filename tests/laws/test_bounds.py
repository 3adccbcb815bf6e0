"""What a stream leaves behind is bounded: keys, symbols, ids, labels, events that wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_ml.language.loader import load
from stream_ml.schema import symbols as symbols_module
from stream_ml.testing import Driver
from tests.laws.stories import TESTS, pipeline
from tests.streams import iso

START = 1_743_294_600_000
BATCH = 200


def payments(first: int, n: int, gap: int) -> Iterator[tuple[str, dict[str, object], int]]:
    """Yield payments of cards that are seen twice, each with a shop of its own, and half of their chargebacks."""
    for i in range(first, first + n):
        now = START + i * gap
        yield (
            "payments",
            {"payment": f"p{i}", "card": f"card {i // 2}", "shop": f"shop {i % 5}", "amount": 1.5, "at": iso(now)},
            now,
        )
        if i % 2:
            yield "chargebacks", {"payment": f"p{i}", "card": f"card {i // 2}", "fraud": i % 3 == 0}, now


def sizes(driver: Driver) -> dict[str, int]:
    session = driver.session
    store = session.scorer.store
    return {
        "keys": sum(len(space) for space in session.scorer.features.spaces),
        "symbols": len(session.symbols),
        "ring": store.ring.shape[0],
        "ids": store.ids.table.shape[0],
        "labels": store.labels.shape[0],
        "slots": store.kept.shape[0],
        "origins": len(session.scorer.origins),
        "bytes": session.stats["state_bytes"],
    }


@pytest.mark.parametrize("snapshots", [True, False])
def test_keys_that_come_and_go_leave_nothing(snapshots: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each card pays twice: after six thousand cards no more is kept than after half as many."""
    monkeypatch.setattr(symbols_module, "SWEEP", 500)
    driver = Driver(pipeline("tiles"), features=False)
    seen = []
    for first in range(0, 12_000, BATCH):
        driver.send_all(one for one in payments(first, BATCH, 2_000) if one[0] == "payments")
        if snapshots:
            driver.snapshot()
        if first in {5_000, 12_000 - BATCH}:
            seen.append(sizes(driver))
    early, late = seen
    assert late["keys"] <= 1.5 * early["keys"]
    assert late["keys"] < 8_000
    assert late["symbols"] < 10_000
    assert late["ring"] == early["ring"]
    assert late["bytes"] <= 1.5 * early["bytes"]


def test_labels_and_events_that_wait_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols_module, "SWEEP", 500)
    driver = Driver(pipeline("demand"), features=False)
    seen = []
    for first in range(0, 6_000, BATCH):
        driver.send_all(
            ("bikes", {"instant": i, "at": iso(START + 1_000 * i), "temp": 0.5, "holiday": False, "cnt": i % 7},
             START + 1_000 * i)
            for i in range(first, first + BATCH)
        )  # fmt: skip
        driver.snapshot()
        if first in {2_000, 6_000 - BATCH}:
            seen.append(sizes(driver))
    early, late = seen
    assert {name: late[name] for name in ("ring", "ids", "labels", "slots")} == {
        name: early[name] for name in ("ring", "ids", "labels", "slots")
    }
    assert late["origins"] <= 61
    assert late["bytes"] <= 1.5 * early["bytes"]
    assert driver.stats["joined"] > 5_800


def test_pending_events_keep_to_their_budget(tmp_path: Path) -> None:
    """Past the budget the oldest are given up and counted, and stopping changes nothing about it."""
    source = (TESTS / "pipelines_law" / "silent.py").read_text()
    path = tmp_path / "small.py"
    path.write_text(source.replace('    "silent",\n', '    "small",\n    pending="64KiB",\n'))
    driver, never = Driver(load(path)), Driver(load(path))
    for first in range(0, 1_000, BATCH):
        for one in (driver, never):
            one.send_all(payments(first, BATCH, 10))
        driver.stop_and_recover(crash=first == BATCH)
    assert driver.stats["given_up"] > 100
    assert driver.stats["pending"] < 500
    assert driver.state() == never.state()
    late = driver.stats["orphan"]
    driver.send("chargebacks", {"payment": "p0", "card": "card 0", "fraud": True})
    assert driver.stats["orphan"] == late + 1
    stats = driver.stats
    assert stats["joined"] + stats["given_up"] + stats["pending"] == stats["events"] == 1_000

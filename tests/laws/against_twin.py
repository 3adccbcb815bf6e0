"""A driver's outputs against the naive twin's."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Any

from stream_ml.testing import Driver
from tests.naive import Naive, Row

#: Counters that both keep under the same name.
SAME = (
    "late", "joined", "again", "held", "idle", "unmatched", "silence", "dropped", "duplicate", "labels", "other_late",
    "other_duplicate", "not_asked", "no_target",
)  # fmt: skip


def bits(x: Any) -> Any:
    """Return a float's bits, so that -0.0 is not 0.0 and 1 is not 1.0; anything else as it is, with its type."""
    return struct.pack("<d", x) if isinstance(x, float) else (type(x).__name__, x)


def same(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """List the names whose values differ; null is missing."""
    names = {name for name, value in found.items() if value is not None} | set(wanted)
    return [
        f"{name}: {found.get(name)!r}, twin {wanted.get(name)!r}"
        for name in sorted(names)
        if bits(found.get(name)) != bits(wanted.get(name))
    ]


class Against:
    """One story, told to a driver and to the twin.

    Attributes
    ----------
    rows
        The twin's events that were asked and that the model answered, by index of its row.
    """

    def __init__(self, driver: Driver, naive: Naive) -> None:
        self.driver, self.naive = driver, naive
        plan = driver.session.plan
        self.learner = plan.learner
        self.lineage = plan.learner.lineage
        letters = driver.all_dead
        self.failed = {f"{one['topic']}/0/{one['offset']}" for one in letters if one["reason"] == "model"}
        self.letters = [one for one in letters if one["reason"] != "model"]
        self.rows = {
            i: row for i, row in enumerate(naive.predictions) if row.asked and row.place not in self.failed
        }
        self.examples = [one for one in naive.examples if one.row in self.rows]
        self.versions = self._versions()

    def _versions(self) -> dict[int, int]:
        """Return for each answered row how many examples the model had learned before it."""
        if self.driver.pipeline.model is None:
            return dict.fromkeys(self.rows, 0)
        if self.learner.at_once:
            asked = [i for i, row in enumerate(self.naive.predictions) if row.asked]
            return {i: bisect_right(asked, i - 1) for i in self.rows}
        learned = [one.after for one in self.examples if one.learned]
        return {i: bisect_right(learned, i) for i in self.rows}

    def check(self) -> None:
        """Assert that everything agrees."""
        self.predictions()
        self.examples_agree()
        self.dead()
        self.counters()
        self.accounted()

    def predictions(self) -> None:
        found = self.driver.all_predictions
        assert [one["prediction_id"] for one in found] == [row.place for row in self.rows.values()]
        carried = [column.args[1] for column in self.driver.pipeline.carry]
        for one, (i, row) in zip(found, self.rows.items(), strict=True):
            assert same(one["features"], row.features) == [], row.place
            assert (one["id"], one["key"], one["at"]) == (row.id, row.key, row.at)
            assert one.get("late", False) == row.late, row.place
            assert one["version"] == [self.lineage, self.versions[i]], row.place
            assert [one[name] for name in carried] == list(row.carry), row.place

    def examples_agree(self) -> None:
        found = self.driver.all_examples
        made = dict(zip(self.rows, self.driver.all_predictions, strict=True))
        assert [(one["id"], one["known"]) for one in found] == [(one.id, one.known) for one in self.examples]
        sliced = [column.args[1] for column in self.driver.pipeline.slices]
        for one, wanted in zip(found, self.examples, strict=True):
            row: Row = self.naive.predictions[wanted.row]
            assert same(one["features"] or {}, wanted.features) == [], row.place
            assert same({name: one[name] for name in ("fate", "target", "weight")}, _told(wanted)) == [], row.place
            assert (one["received"], one["key"], one["at"]) == (row.received, row.key, row.at)
            assert one["slices"] == dict(zip(sliced, row.slices, strict=True))
            prediction = made[wanted.row]
            assert one["version"] == prediction["version"]
            assert bits(one["prediction"]) == bits(prediction.get("prediction"))

    def dead(self) -> None:
        found = [(one["topic"], one["offset"], one["reason"], one["path"], one["received"]) for one in self.letters]
        assert found == [(one.topic, one.offset, one.reason, one.path, one.received) for one in self.naive.dead]

    def counters(self) -> None:
        stats, counted = self.driver.stats, self.naive.counters
        found = {name: stats[name] for name in SAME}
        wanted = {name: counted[name] for name in SAME}
        if self.failed:
            for name in ("no_target",):
                del found[name], wanted[name]
        assert found == wanted
        assert stats["other_events"] + stats["other_duplicate"] == counted["other"]
        assert stats["predicted"] == len(self.rows)

    def accounted(self) -> None:
        """Assert law 6: nothing is lost and nothing is counted twice."""
        stats = self.driver.stats
        refused = sum(letter.role == "event" for letter in self.naive.dead)
        answered = stats["predicted"] + stats["not_asked"] + len(self.failed)
        assert self.naive.counters["events"] == answered + refused + stats["duplicate"]
        assert stats["examples"] == len(self.driver.all_examples)
        assert sum(stats["dead"].values()) == len(self.driver.all_dead)
        label = self.naive.label
        if label is None:
            return
        closed = stats["joined"] + stats["silence"] + stats["dropped"] + stats["given_up"]
        assert closed + stats["pending"] == answered
        waiting = self.driver.state()["labels"]
        if label.__stream__.on is None:
            ended = stats["joined"] + stats["again"] + stats["unmatched"] + stats["orphan"]
            assert ended + len(waiting) == stats["labels"]
        else:
            assert stats["idle"] + len(waiting) <= stats["labels"]
        assert stats["held"] >= stats["unmatched"] + sum(not one["delayed"] for one in waiting)


def _told(example: Any) -> dict[str, Any]:
    given = {"fate": example.fate, "target": example.target, "weight": example.weight}
    return {name: value for name, value in given.items() if value is not None}

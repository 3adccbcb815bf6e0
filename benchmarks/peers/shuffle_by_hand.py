"""The shuffle by hand: per key count, sum, first and last time stamp; with river's model in the second run."""

from __future__ import annotations

from typing import Any

import orjson
from river import linear_model, preprocessing

from benchmarks.peers.by_hand import PREDICTIONS, Output


class Shuffle:
    """Keeps four numbers of each key, and answers every record with them.

    Parameters
    ----------
    learns
        Whether a model predicts from them, and then learns what the record says of itself.
    """

    def __init__(self, *, learns: bool = False) -> None:
        self.taken = 0
        self._kept: dict[str, list[float]] = {}
        self._model: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression() if learns else None

    def take(self, value: bytes, received: int) -> list[Output]:
        """Take one record, and return its answer."""
        del received
        record = orjson.loads(value)
        self.taken += 1
        key, stamp = record["consumer"], record["stamp"]
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = [0, 0.0, stamp]
        kept[0] += 1
        kept[1] += record["value"]
        row = {"n_forever": kept[0], "total_forever": kept[1], "first": kept[2], "last": stamp}
        answer = {"id": record["id"], "key": key, "at": record["at"], "features": row}
        if self._model is not None:
            answer["score"] = self._model.predict_proba_one(row).get(True, 0.5)
            answer["prediction"] = answer["score"] > 0.5
            self._model.learn_one(row, record["hot"])
        return [(PREDICTIONS, key.encode(), answer)]

"""Records that scorers and learners write alike: dead letters, alarms of drift, metrics."""

from __future__ import annotations

import base64
from typing import Any

from stream_ml.errors import Reason
from stream_ml.learner.machine import Learner, Watched
from stream_ml.monitor.adwin import Drift
from stream_ml.monitor.metrics import Measured
from stream_ml.scorer.machine import Origin
from stream_ml.sessions.encode import RAW, encode


def dead_letter(origin: Origin, partition: int, reason: Reason, path: str, message: str) -> bytes:
    """Return a dead letter as JSON."""
    letter = {
        "topic": origin.topic,
        "partition": partition,
        "offset": origin.offset,
        "received": origin.received,
        "reason": reason.value,
        "path": path,
        "message": message,
        "raw": base64.b64encode(origin.raw[:RAW]).decode(),
        "size": len(origin.raw),
    }
    return encode(letter)


def drift_alarm(
    learner: Learner, watched: Watched, detector: int, drift: Drift, at_ms: int, version: tuple[str, int]
) -> dict[str, Any]:
    """Return an alarm record.

    Parameters
    ----------
    watched
        The batch of examples that gave it.
    detector
        Which of the declared detectors saw it.
    at_ms
        When the example's label was known.
    version
        The model version that had made the example's prediction.
    """
    declared = learner.spec.monitor.detectors[detector]
    return {
        "what": "error",
        "detector": repr(declared),
        "since": watched.before + drift.index + 1 - drift.kept,
        "at": at_ms,
        "from": drift.mean_before,
        "to": drift.mean_after,
        "confidence": 1.0 - declared.delta,
        "version": list(version),
    }


def metric_record(learner: Learner, one: Measured, at_ms: int) -> dict[str, Any]:
    """Return a metric record."""
    return {
        "name": one.name,
        "slice": learner.groups.slice(one.group),
        "window": one.window,
        "value": one.value,
        "n": one.n,
        "at": at_ms,
        "version": [learner.spec.lineage, one.count],
    }

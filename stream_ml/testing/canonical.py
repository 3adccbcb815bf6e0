"""A session's state as plain records: keys and categories as texts, empty rows left out, everything sorted.

States are compared as records, not as arrays: blocks move, rows are numbered anew, symbol codes differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_ml.features.space import Keyed
from stream_ml.kernels import operations
from stream_ml.kernels.waiting import WAITING
from stream_ml.model.fallback import RiverModel
from stream_ml.scorer.store import ASKED, PREDICTED, SCORE, VERSION
from stream_ml.sessions.codec import listed
from stream_ml.sessions.session import Session
from stream_ml.testing.structure import structure


def records(session: Session) -> dict[str, Any]:
    """Return the state of a session as dicts, lists, texts and numbers; None is missing."""
    parts = list(session.state.parts())
    spaces = session.scorer.features.spaces
    specs = session.plan.scorer.features.tables
    last = next(part for part in parts if part["part"] == "join")
    learner = session.learner.save()
    model = session.learner.model
    if isinstance(model, RiverModel):
        learner["model"] = structure(model._estimator)  # noqa: SLF001  (what is saved of it is bytes)
    return {
        "keys": {str(i): sorted(_keys(spaces[i], _of(parts, "space", i)), key=repr) for i in range(len(spaces))},
        "tables": {str(i): sorted(_rows(spec, _of(parts, "table", i)), key=repr) for i, spec in enumerate(specs)},
        "ring": [row for part in parts if part["part"] == "ring" for row in _ring(session, part)],
        "labels": list(_labels(session, last)),
        "seen": last["seen"],
        "now": int(last["now"]),
        "arrivals": last["scalars"].tolist()[:2],
        "counters": dict(zip(operations.COUNTERS, last["counters"].tolist(), strict=True)),
        "newest": last["newest"].tolist(),
        "learner": plain(learner),
        "entry": session.number,
        "positions": dict(session.positions),
        "counts": {
            "asked": session.asked, "examples": session.examples, "no_target": session.no_target,
            "dead": dict(sorted(session.outputs.dead.items())), "alarms": session.outputs.alarms,
        },
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Return arrays as lists and NaN as None, within dicts and lists too."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and value != value:  # noqa: PLR0124  (NaN)
        return None
    return value


def _of(parts: list[dict[str, Any]], kind: str, number: int) -> Iterator[dict[str, Any]]:
    return (part for part in parts if part["part"] == kind and part["i"] == number)


def _texts(matrix: NDArray[Any], flags: Sequence[bool], texts: list[str]) -> list[list[Any]]:
    """Return rows whose flagged columns, places in `texts`, are resolved."""
    rows = plain(matrix)
    for row in rows:
        for j, text in enumerate(flags):
            if text and row[j] is not None:
                row[j] = texts[int(row[j])]
    found: list[list[Any]] = rows
    return found


def _keys(space: Keyed, parts: Iterator[dict[str, Any]]) -> Iterator[list[Any]]:
    """Yield [key, points, windows] of every key that holds something."""
    of_point = [column in space.texts for column in range(space.fixed)]
    empty = plain(space.template[: space.fixed])
    for part in parts:
        keys = _texts(part["keys"], space.spec.texts, listed(part["texts"]))
        points = _texts(part["fixed"], of_point, listed(part["texts"]))
        windows = np.split(part["packed"], np.cumsum(part["sizes"])[:-1])
        for key, point, window in zip(keys, points, windows, strict=True):
            if window.any() or repr(point) != repr(empty):
                yield [key, point, plain(window)]


def _rows(spec: Any, parts: Iterator[dict[str, Any]]) -> Iterator[list[Any]]:
    for part in parts:
        keys = _texts(part["keys"], spec.key_texts, listed(part["texts"]))
        values = _texts(part["values"], spec.column_texts, listed(part["texts"]))
        yield from ([key, value] for key, value in zip(keys, values, strict=True))


def _words(column: NDArray[Any], texts: list[str]) -> list[Any]:
    """Return words as they are told: texts by their place, others as integers."""
    if column.dtype.kind == "f":
        return [None if one != one else texts[int(one)] for one in column.tolist()]  # noqa: PLR0124  (missing)
    return [int(one) for one in column.tolist()]


def _ring(session: Session, part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every event that waits, or whose id is still taken."""
    spec, own = session.plan.scorer, session.scorer.store.own
    texts = listed(part["texts"])
    flags = [column in spec.slot_texts for column in range(part["kept"].shape[1])]
    kept = iter(_texts(part["kept"], flags, texts))
    ids, on = _words(part["words"], texts), _words(part["on"], texts)
    for i, (seq, received, state) in enumerate(
        zip(part["seqs"].tolist(), part["received"].tolist(), part["state"].tolist(), strict=True)
    ):
        row = None
        if state == WAITING:
            row = next(kept)
            if row[own + ASKED] != 1.0:
                row[own + SCORE] = row[own + PREDICTED] = row[own + VERSION] = None
        yield {"seq": seq, "id": ids[i], "on": on[i], "received": received, "state": state, "kept": row}


def _labels(session: Session, part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the labels that wait: delayed ones first, then those held for their event."""
    words = _words(part["label_words"], listed(part["texts"]))
    flags = [text for _, _, text in session.plan.scorer.streams[1].columns] if words else []
    values = _texts(part["label_values"], flags, listed(part["texts"])) if words else []
    for i, (word, value, origin) in enumerate(zip(words, values, part["origins"], strict=True)):
        _, known, seq, _ = part["labels"][i].tolist()
        yield {
            "delayed": i < part["delayed"], "id": word, "known": known, "arrivals": seq, "values": value,
            "origin": [*origin[:3], bytes(origin[3]).decode("utf-8", "replace")],
        }  # fmt: skip

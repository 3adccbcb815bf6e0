"""Model versions on their way from the learner to the scorers: how they are published, and how they are assembled.

A version is (lineage, count of examples learned) and what predictions need of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import zstandard

from stream_ml.errors import FormatError, UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.learner.machine import Learner
from stream_ml.plan.bundle import Plan, compile_plan
from stream_ml.plan.partitions import require_shared
from stream_ml.sessions.documents import Arrays, Head, changed, check_of, cut, join, piece_of, read, read_head, whole

FORMAT: Final = 1
#: Most bytes of a record.
LIMIT: Final = 900_000
#: A whole version at least once in so many.
EVERY: Final = 60
#: Characters of the plan's digest in a record.
PLAN: Final = 16
#: Versions that are assembled at once.
UNFINISHED: Final = 4


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model as it stood after `count` examples; its arrays are not changed by anybody.

    Parameters
    ----------
    lineage
        Name of the line of models that begins with one starting model.
    count
        Examples learned since.
    arrays
        What `Model.serving` gave.
    full
        Whether it came whole.
    """

    lineage: str
    count: int
    arrays: Arrays
    full: bool = True


class HasLearner(Protocol):
    """What a publisher reads: the learner's session."""

    plan: Plan
    learner: Learner

    @property
    def version(self) -> tuple[str, int]:
        """Lineage and count of its model."""


class Publisher:
    """Writes versions of a learner's model: what changed since the last one, and a whole one now and then.

    A new publisher, as after a restart, begins with a whole version.

    Parameters
    ----------
    session
        The learner's session.
    limit
        Most bytes of a record.
    every
        A whole version comes at least once in so many.

    Attributes
    ----------
    nbytes
        Bytes of the last version's records.
    last_full
        Whether the last version was whole: records before it are needed no more.
    """

    def __init__(self, session: HasLearner, *, limit: int = LIMIT, every: int = EVERY) -> None:
        self._session = session
        self._limit, self._every = limit, every
        self._base: ModelVersion | None = None
        self._since = 0
        self.nbytes = 0
        self.last_full = False

    def next(self) -> list[bytes]:
        """Return the records of the next version; none where nothing was learned since the last one."""
        base = self._base
        if base is not None and self._session.version == (base.lineage, base.count):
            return []
        now = self._now()
        if base is None or now.lineage != base.lineage or self._since + 1 >= self._every:
            return self._write(now, None)
        return self._write(now, changed(base.arrays, now.arrays))

    def full(self) -> list[bytes]:
        """Return the records of a whole version, even where nothing was learned since the last one."""
        return self._write(self._now(), None)

    def interval_ms(self, budget: int) -> int:
        """Return how long to wait after the last version so that no more than `budget` bytes a second are sent."""
        return -(-1000 * self.nbytes // budget)

    def _now(self) -> ModelVersion:
        model = self._session.learner.model
        if model is None:
            cause = f"{self._session.plan.name!r} has no model to publish"
            raise UsageError(cause, "Run no learner for it")
        return ModelVersion(*self._session.version, model.serving())

    def _write(self, now: ModelVersion, document: bytes | None) -> list[bytes]:
        """Return records of a document of changes, or of the whole version where there is none."""
        plan, base = self._session.plan, self._base
        head = Head(FORMAT, plan.name, plan.digest[:PLAN], now.lineage, now.count)
        self.last_full = document is None or base is None
        if document is None or base is None:
            document = whole(now.arrays)
            self._since = 0
        else:
            head = msgspec.structs.replace(head, base=base.count, base_check=check_of(base.arrays))
            self._since += 1
        self._base = now
        records = cut(head, document, self._limit)
        self.nbytes = sum(map(len, records))
        return records


class Collector:
    """Assembles versions from records, in whatever order and however often these come.

    Counts of one lineage only rise. A version whose base was missed is left out, until a whole one comes. A version
    that comes again whole, as after a restart of the learner, is what the next changes are changes of; it is not
    returned.

    Parameters
    ----------
    pipeline
        The declarations; versions of other plans are left out.
    allow_pickle
        Whether models that river itself runs are accepted.

    Attributes
    ----------
    refused, foreign, missed
        Records that were damaged, that were of other plans, versions whose base was missed.

    Raises
    ------
    UsageError
        When such a model is declared and not allowed.
    """

    def __init__(self, pipeline: Pipeline, *, allow_pickle: bool = False) -> None:
        require_shared(pipeline, allow_pickle=allow_pickle)
        self._of = (pipeline.name, compile_plan(pipeline).digest[:PLAN])
        self._newest: dict[str, int] = {}
        self._held: ModelVersion | None = None
        self._unfinished: dict[Head, dict[int, bytes]] = {}
        self.refused = self.foreign = self.missed = 0

    def add(self, value: bytes) -> ModelVersion | None:
        """Take one record; returns the version that it completes.

        Raises
        ------
        FormatError
            When a newer version of stream_ml wrote it.
        """
        head = read_head(value)
        if head is None:
            self.refused += 1
            return None
        if (head.pipeline, head.plan) != self._of:
            self.foreign += 1
            return None
        if head.format > FORMAT:
            cause = f"a model version of {head.pipeline!r} was written by a newer version of stream_ml"
            raise FormatError(cause, "Upgrade stream_ml on this machine")
        newest = self._newest.get(head.lineage, -1)
        if head.count < newest or (head.count == newest and not head.full):
            return None
        piece = piece_of(head, value)
        if piece is None:
            self.refused += 1
            return None
        return self._piece(head, piece)

    def _piece(self, head: Head, piece: bytes) -> ModelVersion | None:
        key = msgspec.structs.replace(head, piece=0, size=0, check="")
        pieces = self._unfinished.setdefault(key, {})
        pieces[head.piece] = piece
        if len(pieces) < head.pieces:
            while len(self._unfinished) > UNFINISHED:
                del self._unfinished[next(iter(self._unfinished))]
            return None
        del self._unfinished[key]
        base: Arrays = {}
        if head.base is not None:
            held = self._held
            known = held is not None and (held.lineage, held.count) == (head.lineage, head.base)
            if held is None or not known or check_of(held.arrays) != head.base_check:
                self.missed += 1
                return None
            base = held.arrays
        try:
            document = join(head, pieces)
            arrays = None if document is None else read(document, base)
        except (ValueError, LookupError, TypeError, zstandard.ZstdError):  # checksums hold, and yet it is none of ours
            arrays = None
        if arrays is None:
            self.refused += 1
            return None
        return self._complete(ModelVersion(head.lineage, head.count, arrays, head.full))

    def _complete(self, version: ModelVersion) -> ModelVersion | None:
        again = version.count == self._newest.get(version.lineage)
        self._newest[version.lineage] = version.count
        self._held = version
        self._unfinished = {
            head: pieces for head, pieces in self._unfinished.items()
            if head.lineage != version.lineage or head.count > version.count
        }  # fmt: skip
        return None if again else version

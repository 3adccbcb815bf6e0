"""What scorers and learners share: turns that are numbered and journaled, and recovery from journal and snapshot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from stream_ml.errors import CorruptError, Reason, UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.plan.bundle import Plan
from stream_ml.schema.records import Out, Run
from stream_ml.schema.verdict import Bad
from stream_ml.sessions import journal
from stream_ml.sessions.codec import Seal
from stream_ml.sessions.cut import SLICE

#: Marks the beginning of a turn.
BEGIN = "begin"
#: (source, offset) of a record.
Place = tuple[str, int]
CHANGED = (
    "Finish with the old file first: `stream-ml run OLD.py --drain`. The changed one then begins where that ended,"
    " with a fresh state"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one feed decided; an engine carries out all of it or none of it.

    Parameters
    ----------
    out
        Records by topic.
    entry
        The journal entry: what was fed, and what no log holds.
    number
        The entry's number, from 1 without gaps.
    """

    out: tuple[Out, ...]
    entry: bytes
    number: int


def unmarked(_: str) -> None:
    """Leave a stage's end unmarked."""


class Journaled(ABC):
    """A machine whose state is a function of what its journal says it was fed.

    Attributes
    ----------
    plan
        What the declarations compile to.
    number
        The last journal entry.
    positions
        Where each source was read to.
    differences
        Turns that gave other outputs when they were fed again.
    mark
        Told the name of each stage of a turn where it ends, and `BEGIN` where the turn begins: an engine may read its
        clock there.
    """

    def __init__(self, plan: Plan, *, journaled: bool) -> None:
        self.plan = plan
        self.number = 0
        self.positions: dict[str, int] = {}
        self.differences = 0
        self.mark: Callable[[str], object] = unmarked
        self._journaled = journaled

    def segment(self, slice_bytes: int = SLICE) -> Iterator[bytes]:
        """Begin a snapshot, and return it as blobs to store, the manifest last; see :meth:`unsealed`."""
        return (seal() for seal in self.unsealed(slice_bytes))

    @abstractmethod
    def unsealed(self, slice_bytes: int = SLICE) -> Iterator[Seal]:
        """Begin a snapshot of what changed since the last one, and return its blobs to be sealed, the manifest last.

        Each blob is packed as it is taken; turns may be fed in between, and the snapshot is still of the state as it
        stands now. Sealing one, before the next one is sealed, may be left to another thread: it lets go of the
        interpreter.

        Parameters
        ----------
        slice_bytes
            Bytes of rows that are packed into one blob, before compression: how long taking one may pause the turns.

        Raises
        ------
        UsageError
            When the snapshot before was not taken to its end.
        """

    @classmethod
    @abstractmethod
    def restore(cls, pipeline: Pipeline, manifest: bytes, blobs: Iterable[bytes], **options: Any) -> Self:
        """Return the session that a manifest and its blobs (oldest first) hold."""

    @abstractmethod
    def _feed_again(self, entry: journal.Entry, runs: Sequence[Run]) -> Turn:
        """Carry out again the turn that an entry tells of."""

    def _turn(self, runs: Sequence[Run], out: tuple[Out, ...], **told: Any) -> Turn:
        """Move on by one turn, and write its entry; `told` are members of it beside those that every turn has."""
        for run in runs:
            self.positions[run.source] = run.end
        self.number += 1
        self.mark("outputs")
        if not self._journaled:
            return Turn(out, b"", self.number)
        entry = journal.Entry(
            number=self.number, fed=journal.fed_of(runs), digest=journal.digest_of(out),
            plan=self.plan.digest[: journal.PLAN], **told,
        )  # fmt: skip
        turn = Turn(out, journal.write_entry(entry), self.number)
        self.mark("journal")
        return turn

    @classmethod
    def recover(
        cls,
        pipeline: Pipeline,
        manifest: bytes | None,
        blobs: Iterable[bytes],
        entries: Iterable[bytes],
        read: Callable[[journal.Fed], Run],
        **options: Any,
    ) -> Self:
        """Return the session as it stood after the last journal entry.

        Parameters
        ----------
        manifest, blobs
            The newest snapshot, None where there is none.
        entries
            Journal entries in order; those that the snapshot holds already are left out. Without a snapshot the first
            may be one that drained another plan: this one begins there.
        read
            Reads the records of a run again from its source.
        options
            As the session that stopped was made with.

        Raises
        ------
        CorruptError
            When a checksum does not hold, an entry is missing, or a source no longer holds what was fed.
        UsageError
            When the pipeline's file has changed since.
        """
        session = cls(pipeline, **options) if manifest is None else cls.restore(pipeline, manifest, blobs, **options)  # type: ignore[arg-type]
        for raw in entries:
            entry = journal.read_entry(raw)
            if manifest is None and session.number == 0 and entry.drained:
                session.begin_after(entry)
            elif entry.number > session.number:
                session._expect(entry)  # noqa: SLF001  (its own)
                session.again(entry, [journal.kept_run(fed) or read(fed) for fed in entry.fed])
        return session

    def begin_after(self, entry: journal.Entry) -> None:
        """Begin where a drained plan ended: its numbers and positions go on, with a fresh state."""
        self.number = entry.number
        self.positions = {fed.source: fed.end for fed in entry.fed}

    def again(self, entry: journal.Entry, runs: Sequence[Run]) -> None:
        """Feed again what the next journal entry says was fed; outputs are thrown away, their digest compared.

        Parameters
        ----------
        entry
            The entry after the session's last one.
        runs
            What its sources hold now of the runs that it names, in its order.

        Raises
        ------
        CorruptError
            When an entry is missing, or a source no longer holds what was fed.
        UsageError
            When the pipeline's file has changed since.
        """
        self._expect(entry)
        same = [_same(fed, run) for fed, run in zip(entry.fed, runs, strict=True)]
        turn = self._feed_again(entry, same)
        if journal.read_entry(turn.entry).digest != entry.digest:
            self.differences += 1

    def _expect(self, entry: journal.Entry) -> None:
        """Refuse an entry that is not the next one, or of other declarations."""
        if entry.number != self.number + 1:
            cause = f"journal entry {self.number + 1} is missing: the next one is {entry.number}"
            raise CorruptError(cause, "Restore the file from a backup")
        self._same_plan(entry.plan)

    def _same_plan(self, digest: str) -> None:
        """Refuse a state of other declarations; `digest` may be the beginning of theirs."""
        if not digest or not self.plan.digest.startswith(digest):
            cause = f"the declarations of {self.plan.name!r} differ from those that made this state"
            raise UsageError(cause, CHANGED)


def _same(fed: journal.Fed, run: Run) -> Run:
    run = replace(run, first=fed.first, end=fed.end, cap=fed.cap)
    if len(run.values) != fed.count or journal.check_of(run) != fed.check:
        cause = f"{fed.source} no longer holds what was fed: records {fed.first} to {fed.end - 1} differ"
        raise CorruptError(cause, "Restore the source, or start anew with an empty state")
    return run


def without(run: Run, skipped: Sequence[Place]) -> Run:
    """Return a run whose skipped records are as records that the source could not read."""
    left = [offset for source, offset in skipped if source == run.source]
    at = np.flatnonzero(np.isin(run.offsets, left))
    bad = tuple(Bad(int(index), Reason.POISON, "$", "killed the process three times") for index in at)
    known = tuple(one for one in run.bad if one.index not in set(at.tolist()))
    return replace(run, bad=tuple(sorted((*known, *bad), key=lambda one: one.index)))

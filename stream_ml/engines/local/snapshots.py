"""When the worker keeps a snapshot, and how: begun between two turns, packed and written in slices between the next."""

from __future__ import annotations

import time
from collections.abc import Iterator

from stream_ml.client.log import now_ms
from stream_ml.engines.local.recovery import Recovered
from stream_ml.engines.local.store import Generation, Store
from stream_ml.sessions.cut import SLICE, UNDISTURBED
from stream_ml.sessions.session import read_manifest

#: How much longer a turn may take for the snapshot under way, a step apart.
SHARE = 0.1
#: Bytes of blobs that are written in one transaction: each waits for the disk.
TRANSACTION = 1 << 20


class Snapshots:
    """Snapshots of one session.

    States: idle → (due) packing, a slice a step → published → tidying, a step at a time → idle. `after_turn` makes a
    step, or some where turns are long; `finish` makes all that are left and, if turns came after the last snapshot,
    keeps another.

    Parameters
    ----------
    recovered
        Session and where its last snapshot stands.
    store
        The file.
    budget_s
        A snapshot is due when feeding again what came since would take longer, in seconds.
    """

    def __init__(self, recovered: Recovered, store: Store, budget_s: float) -> None:
        self._session = recovered.session
        self._store = store
        self._budget_s = budget_s
        self._generation = recovered.generation
        self._segment = recovered.segments
        self._kept = recovered.session.number if recovered.session.number == recovered.snapshot_entry else -1
        self._since_s = recovered.again_s
        self._work: Iterator[None] | None = None

    @property
    def packing(self) -> bool:
        """Whether a step is to be made."""
        return self._work is not None

    def after_turn(self, feed_s: float) -> None:
        """Count a turn of so many seconds; make steps for about a tenth as long, or begin when it is time."""
        self._since_s += feed_s
        if self.packing:
            end = time.perf_counter() + SHARE * feed_s
            while self.step() and time.perf_counter() < end:
                pass
        elif self._since_s > self._budget_s:
            self._begin()

    def step(self) -> bool:
        """Pack and write one slice, or drop one thing that is not needed any more; return whether a step is left."""
        if self._work is not None and next(self._work, self) is self:
            self._work = None
        self._store.after_commit()
        return self.packing

    def finish(self) -> None:
        """Keep what came since the last snapshot: a clean stop."""
        self._drain()
        if self._kept != self._session.number:
            self._begin(UNDISTURBED)
            self._drain()

    def _drain(self) -> None:
        while self._work is not None:
            self.step()

    def _begin(self, slice_bytes: int = SLICE) -> None:
        entry = self._session.number
        if entry == 0:
            return
        self._since_s = 0.0
        self._kept = entry
        self._work = self._written(self._session.segment(slice_bytes), entry)

    def _written(self, blobs: Iterator[bytes], entry: int) -> Iterator[None]:
        """Write a snapshot.

        Steps: 1 the blobs, several in a transaction; 2 the manifest, which makes them count; 3 drop what neither of the
        two newest generations needs.
        """
        packed: list[bytes] = []
        for blob in blobs:
            if sum(map(len, packed)) >= TRANSACTION:
                self._keep(packed)
                packed = []
            packed.append(blob)
            yield
        *last, manifest = packed
        self._keep(last)
        first = self._segment - len(read_manifest(manifest).checks) + 1
        self._generation += 1
        self._store.publish(Generation(self._generation, entry, first, now_ms(), manifest))
        yield
        yield from self._store.tidy()

    def _keep(self, blobs: list[bytes]) -> None:
        if blobs:
            self._store.keep_segments(self._segment + 1, blobs)
            self._segment += len(blobs)

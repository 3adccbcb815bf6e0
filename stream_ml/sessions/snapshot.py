"""Snapshots: immutable blobs of the rows that changed, and a manifest that names them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

import msgspec
import xxhash

from stream_ml.errors import CorruptError, FormatError, UsageError
from stream_ml.sessions.codec import FORMAT, Seal, encode, restore, seal

_CHECK = 8


@dataclass(frozen=True, slots=True)
class Manifest:
    """What makes a snapshot complete.

    Parameters
    ----------
    entry
        The journal entry up to which the state goes.
    checks
        xxh64 of every blob that the snapshot needs, oldest first.
    fresh
        How many of them, at the end, are new with this snapshot.
    """

    entry: int
    checks: tuple[int, ...]
    fresh: int

    @property
    def base(self) -> bool:
        """Whether this snapshot needs no older blob."""
        return self.fresh == len(self.checks)


def read_manifest(raw: bytes) -> Manifest:
    """Return a manifest from its bytes.

    Raises
    ------
    CorruptError
        When the checksum does not hold.
    FormatError
        When a newer version wrote it.
    """
    body, check = raw[:-_CHECK], raw[-_CHECK:]
    if len(raw) <= _CHECK or xxhash.xxh64_digest(body) != check:
        cause = "a manifest does not pass its checksum"
        raise CorruptError(cause, "An older snapshot is tried; if none passes, restore the file from a backup")
    version, entry, checks, fresh = msgspec.msgpack.decode(body)
    if version > FORMAT:
        cause = "the snapshot was written by a newer version of stream_ml"
        raise FormatError(cause, "Upgrade stream_ml on this machine")
    return Manifest(entry, tuple(checks), fresh)


class Packed(Protocol):
    """Rows as they stood when a snapshot began."""

    def parts(self) -> Iterator[Seal]:
        """Yield blobs; turns may go on in between."""


class Rows(Protocol):
    """State that is rows."""

    def cut(self, *, everything: bool, slice_bytes: int) -> Packed:
        """Begin a snapshot of all rows, or of those that changed since the last one began."""


class Snapshots:
    """Gathers snapshots of one session: a base, then what changed, and a new base when the changes outgrow it."""

    def __init__(self) -> None:
        self._checks: list[int] = []
        self._base_bytes = 0
        self._since = 0
        self._under_way = False

    def begin(self, state: Rows, small: dict[str, Any], slice_bytes: int) -> Iterator[Seal]:
        """Begin a snapshot of the state as it stands; the iterator packs it blob by blob and yields the manifest last.

        Turns may go on while the iterator is drawn. Each blob must be sealed before the next one is.

        Raises
        ------
        UsageError
            When the one before was not drawn to its end.
        """
        if self._under_way:
            cause = "a snapshot is under way"
            raise UsageError(cause, "Take every blob of it before the next one")
        self._under_way = True
        everything = not self._checks or self._since > self._base_bytes
        cut = state.cut(everything=everything, slice_bytes=slice_bytes)
        if everything:
            self._checks, self._base_bytes, self._since = [], 0, 0
        last = encode({"part": "small", **small})
        return self._named(chain(cut.parts(), [partial(seal, last)]), small["number"], everything=everything)

    def _named(self, blobs: Iterable[Seal], entry: int, *, everything: bool) -> Iterator[Seal]:
        before = len(self._checks)
        for blob in blobs:
            yield partial(self._sealed, blob, everything=everything)
        yield partial(self._manifest, entry, before)

    def _sealed(self, blob: Seal, *, everything: bool) -> bytes:
        raw = blob()
        self._checks.append(xxhash.xxh64_intdigest(raw))
        if everything:
            self._base_bytes += len(raw)
        else:
            self._since += len(raw)
        return raw

    def _manifest(self, entry: int, before: int) -> bytes:
        body = msgspec.msgpack.encode([FORMAT, entry, self._checks, len(self._checks) - before])
        self._under_way = False
        return body + xxhash.xxh64_digest(body)

    def read(self, manifest: Manifest, blobs: Iterable[bytes]) -> tuple[Iterator[dict[str, Any]], dict[str, Any]]:
        """Return the parts of a snapshot, oldest first, decoded as they are drawn, and its small part.

        Raises
        ------
        CorruptError
            When a blob is missing or is not the one that the manifest names.
        """
        held = deque(blobs)
        if len(held) != len(manifest.checks):
            cause = f"the snapshot needs {len(manifest.checks)} segments, and {len(held)} are there"
            raise CorruptError(cause, "An older snapshot is tried; if none passes, restore the file from a backup")
        for i, (blob, check) in enumerate(zip(held, manifest.checks, strict=True)):
            if xxhash.xxh64_intdigest(blob) != check:
                cause = f"segment {i + 1} of the snapshot is not the one that was written"
                raise CorruptError(cause, "An older snapshot is tried; if none passes, restore the file from a backup")
        self._checks = list(manifest.checks)
        self._base_bytes = max(sum(map(len, held)), 1)
        self._since = 0
        small = restore(held.pop(), f"segment {len(held) + 1} of the snapshot")
        return filter(_is_rows, _decoded(held)), small


def _decoded(held: deque[bytes]) -> Iterator[dict[str, Any]]:
    """Decode blobs, each let go when it is: what memory one part took serves the next."""
    number = 0
    while held:
        number += 1
        yield restore(held.popleft(), f"segment {number} of the snapshot")


def _is_rows(part: dict[str, Any]) -> bool:
    return bool(part["part"] != "small")

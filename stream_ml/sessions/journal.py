"""Journal entries: what each turn was fed, and a digest of what it put out. msgpack, version first, checksum last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import xxhash

from stream_ml.errors import CorruptError, FormatError
from stream_ml.schema.lines import Lines
from stream_ml.schema.records import Out, Run, Topics

FORMAT: Final = 2
_CHECK = 8
#: Characters of the plan's digest in an entry.
PLAN: Final = 16
#: Stands for a source among what is skipped: the lessons of a tick, its moment for the offset. No source has no name.
DEADLINES: Final = ""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """The records of a run whose source may not hold them later: a compacted topic.

    Parameters
    ----------
    offsets, received
        int64, little-endian, of each record.
    keys, values
        Their bytes.
    """

    topic: str
    offsets: bytes
    received: bytes
    keys: tuple[bytes | None, ...]
    values: tuple[bytes, ...]


class Fed(msgspec.Struct, frozen=True, array_like=True):
    """One run as it was fed: source, first offset, one past the last, cap, how many records, and their checksum.

    The records themselves are in `kept` where the source may not hold them later.
    """

    source: str
    first: int
    end: int
    cap: int
    count: int
    check: int
    kept: Kept | None = None


class Served(msgspec.Struct, frozen=True, array_like=True):
    """Predictions of a turn as they were served, where the model that made them lives elsewhere.

    Parameters
    ----------
    lineage, count
        The model version that answered.
    scores
        float64, little-endian, of each event that was asked, in order.
    choices
        Multi-class: what each event was told beside its score.
    failed
        (event, message) where the model raised; events are numbered from 0 in the order of `scores`.
    """

    lineage: str
    count: int
    scores: bytes
    choices: Choices | None = None
    failed: tuple[tuple[int, str], ...] = ()


class Choices(msgspec.Struct, frozen=True, array_like=True):
    """Multi-class answers.

    Parameters
    ----------
    classes
        Distinct classes: texts, numbers or truths.
    orders
        Distinct sequences of classes (their places) in which probabilities were told.
    labels
        int32 of each event: place of its predicted class, -1 for none.
    which
        int32 of each event: its sequence.
    chances
        float64 of all events' probabilities, one event's after the other.
    """

    classes: tuple[str | int | float | bool | None, ...]
    orders: tuple[tuple[int, ...], ...]
    labels: bytes
    which: bytes
    chances: bytes


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One turn.

    Parameters
    ----------
    number
        Without gaps, from 1.
    fed
        Runs in the order given.
    tick
        A moment at which every source was read to its end, where one was fed.
    skipped
        (source, offset) of records that are left out because they killed the process; with the source
        :data:`DEADLINES` the turn's tick teaches nothing.
    digest
        xxh64 of the turn's outputs.
    plan
        The beginning of the digest of the plan that carried the turn out.
    served
        What the model answered and which version of it, None where the task learns for itself. Since format 2.
    drained
        Whether the pipeline ends here, so that another plan may begin where the runs end, with a fresh state.
    """

    format: int = FORMAT
    number: int
    fed: tuple[Fed, ...]
    tick: int | None = None
    skipped: tuple[tuple[str, int], ...] = ()
    digest: int
    plan: str
    served: Served | None = None
    drained: bool = False


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entry)


def check_of(run: Run) -> int:
    """Return the xxh64 of a run's offsets, time stamps, keys and values."""
    seen = xxhash.xxh64()
    seen.update(np.ascontiguousarray(run.offsets, np.int64).tobytes())
    seen.update(np.ascontiguousarray(run.received, np.int64).tobytes())
    seen.update(_keys(run.keys))
    values = run.values
    if isinstance(values, Lines):
        seen.update((values.ends - values.begins).tobytes())
        seen.update(values.together())
    else:
        seen.update(np.fromiter(map(len, values), np.int64, len(values)).tobytes())
        seen.update(b"".join(values))
    return seen.intdigest()


def _keys(keys: Sequence[bytes | None]) -> bytes:
    try:
        return b"\0".join(keys)  # type: ignore[arg-type]
    except TypeError:
        return b"\0".join(b"" if key is None else key for key in keys)


def digest_of(out: Sequence[Out]) -> int:
    """Return the xxh64 of a turn's outputs."""
    seen = xxhash.xxh64()
    for one in out:
        seen.update(one.topic.encode())
        seen.update(one.blob)
    return seen.intdigest()


def fed_of(runs: Sequence[Run]) -> tuple[Fed, ...]:
    """Return what an entry says of the runs of a turn."""
    return tuple(Fed(r.source, r.first, r.end, r.cap, len(r.values), check_of(r), _kept(r)) for r in runs)


def _kept(run: Run) -> Kept | None:
    if not run.kept or not len(run.values):
        return None
    offsets, received = (one.astype("<i8").tobytes() for one in (run.offsets, run.received))
    return Kept(Topics.of(run.topics).names[0], offsets, received, tuple(run.keys), tuple(run.values))


def kept_run(fed: Fed) -> Run | None:
    """Return a run from what its entry keeps of it, None where its source has it."""
    kept = fed.kept
    if kept is None:
        return None
    offsets, received = (np.frombuffer(one, "<i8").astype(np.int64) for one in (kept.offsets, kept.received))
    return Run(
        fed.source, fed.first, fed.end, fed.cap, [kept.topic] * fed.count, offsets, received, kept.keys, kept.values,
        kept=True,
    )  # fmt: skip


def write_entry(entry: Entry) -> bytes:
    """Return an entry's bytes."""
    raw = _ENCODER.encode(entry)
    return raw + xxhash.xxh64_digest(raw)


def read_entry(raw: bytes) -> Entry:
    """Return an entry from its bytes.

    Raises
    ------
    CorruptError
        When the checksum does not hold.
    FormatError
        When a newer version wrote it.
    """
    body, check = raw[:-_CHECK], raw[-_CHECK:]
    if len(raw) <= _CHECK or xxhash.xxh64_digest(body) != check:
        cause = "a journal entry does not pass its checksum"
        raise CorruptError(cause, "Restore the file from a backup, or start anew with another file")
    if msgspec.msgpack.decode(body)[0] > FORMAT:
        cause = "the journal was written by a newer version of stream_ml"
        raise FormatError(cause, "Upgrade stream_ml on this machine")
    return _DECODER.decode(body)

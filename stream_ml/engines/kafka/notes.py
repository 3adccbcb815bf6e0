"""What owners of a task leave for the next one beside snapshots: the turn they are about to feed, a clean end.

These are records of the task's partition of the state topic, written in transactions of the task's own id, so that a
worker that was fenced leaves none. A snapshot that counts is older than every note of what comes after it: notes are
found by whoever looks for the newest manifest, and dropped with the snapshots before them.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stream_ml.engines.attempts import Attempt, Kind
from stream_ml.errors import CorruptError, FormatError

ATTEMPT, RELEASED, SERVING = b"attempt", b"released", b"serving"
FORMAT = 1


class Note(msgspec.Struct, frozen=True, array_like=True):
    """An attempt as the state partition holds it; `owner` is the producer id and epoch of who wrote it."""

    format: int
    source: str
    number: int
    kind: Kind
    size: int
    deaths: int
    begun: bool
    owner: str


_DECODER = msgspec.msgpack.Decoder(Note)


@dataclass(frozen=True, slots=True)
class Left:
    """What owners left since the newest snapshot.

    Parameters
    ----------
    attempt, writer
        The last turn that was written down, and by whom (producer id and epoch); None and "" where none was.
    released
        Whether the last owner let go of the task as a worker should, and nobody has served it since.
    served
        Who said last that it serves; "" where nobody did.
    """

    attempt: Attempt | None = None
    writer: str = ""
    released: bool = False
    served: str = ""


def write_attempt(attempt: Attempt, owner: str) -> bytes:
    """Return an attempt's bytes."""
    source, number = attempt.place
    note = Note(FORMAT, source, number, attempt.kind, attempt.size, attempt.deaths, attempt.begun, owner)
    return msgspec.msgpack.encode(note)


def read_left(attempt: bytes | None, mark: tuple[bytes, bytes] | None) -> Left:
    """Return what the last attempt says, and the last of the marks (key, value); None where there is none.

    Raises
    ------
    CorruptError, FormatError
        If it says nothing, or a newer version wrote it.
    """
    key, owner = mark or (b"", b"")
    released, served = key == RELEASED, owner.decode("ascii", "replace") if key == SERVING else ""
    if attempt is None:
        return Left(released=released, served=served)
    try:
        if msgspec.msgpack.decode(attempt)[0] > FORMAT:
            cause = "the note of a turn was written by a newer version of stream_ml"
            raise FormatError(cause, "Upgrade stream_ml on this machine")
        note = _DECODER.decode(attempt)
    except (msgspec.DecodeError, TypeError, IndexError) as error:
        cause = "the note of a turn cannot be read"
        raise CorruptError(cause, "Restore the state topic") from error
    found = Attempt((note.source, note.number), note.kind, note.size, note.deaths, note.begun)
    return Left(found, note.owner, released, served)
